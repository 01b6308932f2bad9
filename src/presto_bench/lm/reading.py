"""What a model has read of several rows: preallocated key-value caches for rows of different lengths.

A token's slot in its row's cache is its position: rows need no padding on the left, a shorter row hides the slots behind its end, and a sliding window is
a mask too. So rows may end, be repeated or be taken back, and what a row's model says does not change with them.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from presto_bench.lm.forward import logits_only_at

GROWTH = 64  # slots that are added when a row outgrows its cache
WORTH_SHARING = 8  # tokens; fewer are read faster a second time than in a pass of their own
_MASKED_LAYERS = {"full_attention", "sliding_attention"}


@dataclass
class _Place:
    """Where the tokens of the current forward pass go. slots (b, q); width: slots in use; rows (b,) of the cache, None for all."""

    slots: torch.Tensor
    width: int
    rows: torch.Tensor | None


class _Layer(CacheLayerMixin):
    """Keys and values (N, H, capacity, D) of one layer; the first `count` rows are in use."""

    def __init__(self, cache: "RowCache"):
        super().__init__()
        self.cache = cache

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        shape = (self.cache.count, self.cache.capacity)
        self.keys, self.values = (x.new_zeros(shape[0], x.shape[1], shape[1], x.shape[3]) for x in (key_states, value_states))
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place = self.cache.place
        if place.width > self.keys.shape[2]:
            self.keys, self.values = (_grown(x, place.width) for x in (self.keys, self.values))
        rows = self.cache.all_rows if place.rows is None else place.rows
        index = (rows[:, None], slice(None), place.slots)  # (b, q) beside the heads: (b, q, H, D)
        self.keys[index] = key_states.transpose(1, 2)
        self.values[index] = value_states.transpose(1, 2)
        seen = (x[: self.cache.count, :, : place.width] for x in (self.keys, self.values))
        return tuple(x if place.rows is None else x[place.rows] for x in seen)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cache.place.width, 0

    def get_seq_length(self) -> int:
        return self.cache.place.width - self.cache.place.slots.shape[1] if self.is_initialized else 0

    def get_max_length(self) -> int:
        return -1

    get_max_cache_shape = get_max_length  # its name in older transformers


def _grown(held: torch.Tensor, width: int) -> torch.Tensor:
    count, heads, capacity, size = held.shape
    more = held.new_zeros(count, heads, width - capacity + GROWTH, size)
    return torch.cat([held, more], 2)


def takes_rows_apart(model: Any) -> bool:
    """Whether all that the model remembers of a row are keys and values, so that RowCache can hold it."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or []) - _MASKED_LAYERS
    return not kinds and not getattr(model, "_is_stateful", False)


class RowCache:
    """The caches of `count` rows, and what a forward pass needs that reads more tokens into them. capacity: slots a row at first."""

    def __init__(self, model: Any, count: int, capacity: int = 0):
        self.model, self.count, self.capacity = model, count, capacity
        config = model.config.get_text_config()
        self.window = getattr(config, "sliding_window", None)
        self.kinds = set(getattr(config, "layer_types", None) or [])
        self.all_rows = torch.arange(count, device=model.device)
        self.place: _Place
        self.cache = Cache(layers=[_Layer(self) for _ in range(config.num_hidden_layers)])

    def inputs(self, ids: torch.Tensor, slots: torch.Tensor, width: int, rows: torch.Tensor | None = None) -> dict[str, Any]:
        """Arguments of a forward pass that reads ids (b, q) into slots (b, q) of some rows, or of all. width: slots in use then."""
        self.place = _Place(slots, width, rows)
        mask = self._mask(slots, width)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": slots,
            "past_key_values": self.cache,
            "use_cache": True,
        }

    def take(self, positions: Sequence[int]) -> None:
        """Keep the rows at these positions, in this order; a position may stand several times."""
        index = sent(positions, self.model.device)
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[index], layer.values[index]
        self._count(len(positions))

    def leave(self, order: Sequence[int]) -> None:
        """Keep the rows at these positions, in an order of `closed_up`, so that little is copied."""
        moved = [(place, position) for place, position in enumerate(order) if place != position]
        if moved:
            to, of = (sent(positions, self.model.device) for positions in zip(*moved, strict=True))
            for layer in self.cache.layers:
                for held in (layer.keys, layer.values):
                    held[to] = held[of]
        self._count(len(order))

    def _count(self, count: int) -> None:
        self.count, self.all_rows = count, torch.arange(count, device=self.model.device)

    def _mask(self, slots: torch.Tensor, width: int) -> torch.Tensor | dict[str, torch.Tensor]:
        """(b, 1, q, width) bool, or one a kind of layer: a query sees the slots up to its own, and those in its window."""
        keys = torch.arange(width, device=slots.device)[None, None, None]
        queries = slots[:, None, :, None]
        full = keys <= queries
        if self.window is None:
            return {"full_attention": full} if self.kinds else full
        windowed = full & (keys > queries - self.window)
        if not self.kinds:
            return windowed
        return {"full_attention": full, "sliding_attention": windowed}


class Reader:
    """A model that reads rows side by side, one more token a row at a time, and says what comes next: logits (b, V).

    room: tokens a row that are going to follow.
    """

    def __init__(self, model: Any, rows: Sequence[Sequence[int]], room: int):
        self.model = model
        self.longest = max(map(len, rows))
        shared = _shared(rows)
        self.cache = RowCache(model, 1 if shared else len(rows), self.longest + room)
        if shared:
            self._forward([rows[0][:shared]], 0)
            self.cache.take([0] * len(rows))
        self.logits = self._forward([row[shared:] for row in rows], shared)
        self.ends = torch.tensor([len(row) for row in rows], device=model.device)

    def _forward(self, rows: Sequence[Sequence[int]], start: int) -> torch.Tensor:
        """(b, V) logits behind each row, which is read into the slots from `start` on."""
        longest = max(map(len, rows))
        # Shorter rows are padded behind their end: what those slots hold is hidden, and written over later.
        ids = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in rows], device=self.model.device)
        slots = torch.arange(start, start + longest, device=ids.device).expand_as(ids)
        last = torch.tensor([[start + len(row) - 1] for row in rows], device=ids.device)
        with logits_only_at(self.model, slots == last):
            return self.model(**self.cache.inputs(ids, slots, start + longest)).logits

    def read(self, tokens: torch.Tensor) -> None:
        """One more token (b,) a row."""
        self.longest += 1
        self.logits = self.model(**self.cache.inputs(tokens[:, None], self.ends[:, None], self.longest)).logits[:, -1]
        self.ends = self.ends + 1

    def take(self, positions: Sequence[int]) -> None:
        """Keep the rows at these positions, in this order; a position may stand several times."""
        self.cache.take(positions)
        self._reorder(positions)

    def leave(self, order: Sequence[int]) -> None:
        """Keep the rows at these positions, in an order of `closed_up`."""
        self.cache.leave(order)
        self._reorder(order)

    def _reorder(self, order: Sequence[int]) -> None:
        index = sent(order, self.model.device)
        self.ends, self.logits = self.ends[index], self.logits[index]


def _shared(rows: Sequence[Sequence[int]]) -> int:
    """Tokens with which all rows begin, such as a system prompt: read once. Each row keeps one of its own at least."""
    columns = zip(*(row[:-1] for row in rows), strict=False)
    longest = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return longest if len(rows) > 1 and longest >= WORTH_SHARING else 0


class WholeReader:
    """The same for a model that remembers more than keys and values (recurrent and hybrid ones): in the model's own cache, rows padded on the left."""

    def __init__(self, model: Any, rows: Sequence[Sequence[int]], room: int):
        self.model = model
        ids, self.mask = left_pad(rows, model.device)
        self.positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        self.past = DynamicCache(config=model.config)
        self.name = "cache_params" if "cache_params" in inspect.signature(model.forward).parameters else "past_key_values"
        self._forward(ids, self.positions)

    def read(self, tokens: torch.Tensor) -> None:
        # A model without attention asks about the new token alone.
        self.mask = (
            torch.nn.functional.pad(self.mask, (0, 1), value=1)
            if self.name != "cache_params"
            else torch.ones_like(self.mask[:, -1:])
        )
        self.positions = self.positions[:, -1:] + 1
        self._forward(tokens[:, None], self.positions)

    def take(self, positions: Sequence[int]) -> None:
        index = sent(positions, self.model.device)
        self.past.reorder_cache(index)
        self.mask, self.positions, self.logits = self.mask[index], self.positions[index], self.logits[index]

    def leave(self, order: Sequence[int]) -> None:
        self.take(order)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> None:
        inputs = {"input_ids": ids, "attention_mask": self.mask, "position_ids": positions, self.name: self.past}
        self.logits = self.model(**inputs, use_cache=True, logits_to_keep=1).logits[:, -1]


def reader(model: Any, rows: Sequence[Sequence[int]], room: int) -> Reader | WholeReader:
    """The model, having read the rows. One that is served reads them in its own way."""
    if hasattr(model, "reader"):
        return model.reader(rows)
    return (Reader if takes_rows_apart(model) else WholeReader)(model, rows, room)


def left_pad(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, mask), both (B, T): rows end in the last column.

    The padding repeats the row's own first token: a repetition penalty then sees nothing that the row does not hold.
    """
    width = max(map(len, rows))
    ids = torch.tensor([[row[0]] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def closed_up(count: int, staying: Sequence[int]) -> list[int]:
    """Which of `count` rows stands where, once those at ascending positions `staying` are left: rows from the end move into the gaps."""
    gaps = sorted(set(range(len(staying))) - set(staying))
    movers = [position for position in staying if position >= len(staying)]
    order = list(range(len(staying)))
    for gap, mover in zip(gaps, movers, strict=True):
        order[gap] = mover
    return order


def sent(positions: Sequence[int], device: torch.device) -> torch.Tensor:
    """An index on the device, without waiting for it."""
    return torch.tensor(positions, dtype=torch.long).to(device, non_blocking=True)
