"""Key-value caches that can take tokens back, row by row.

Rows of different lengths share one batch; each is set to any ids at any time, and only what differs from what it holds is
fed. A token's slot is its position, so that taking tokens back is forgetting: later slots are masked until they are written
again. Sliding windows are a mask too, hence exact under any backtracking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH = 64  # slots that are added when a row outgrows its cache


@dataclass
class _Place:
    """Where the tokens of the current forward pass go. rows (b,) of the cache; slots (b, q); width: slots in use.

    everyone: the rows are all rows of the cache, in order, so that nothing need be copied.
    """

    rows: torch.Tensor
    slots: torch.Tensor
    width: int
    everyone: bool


class _Layer(CacheLayerMixin):
    """Keys and values (N, H, capacity, D) of one layer."""

    def __init__(self, count: int, place: list[_Place]):
        super().__init__()
        self.count, self.place = count, place

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys, self.values = (x.new_zeros(self.count, x.shape[1], 0, x.shape[3]) for x in (key_states, value_states))
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place = self.place[0]
        if place.width > self.keys.shape[2]:
            self.keys, self.values = (_grown(x, place.width) for x in (self.keys, self.values))
        index = (place.rows[:, None], slice(None), place.slots)  # (b, q) beside the heads: (b, q, H, D)
        self.keys[index] = key_states.transpose(1, 2)
        self.values[index] = value_states.transpose(1, 2)
        seen = slice(None, place.width)
        if place.everyone:
            return self.keys[:, :, seen], self.values[:, :, seen]
        return self.keys[place.rows][:, :, seen], self.values[place.rows][:, :, seen]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.place[0].width, 0

    def get_seq_length(self) -> int:
        return self.place[0].width - self.place[0].slots.shape[1] if self.is_initialized else 0

    def get_max_length(self) -> int:
        return -1


def _grown(held: torch.Tensor, width: int) -> torch.Tensor:
    count, heads, capacity, size = held.shape
    more = held.new_zeros(count, heads, width - capacity + GROWTH, size)
    return torch.cat([held, more], 2)


class Rollback:
    """A model and what it has seen of each of `count` rows."""

    def __init__(self, model: Any, count: int):
        self.model, self.count = model, count
        self.held: list[list[int]] = [[] for _ in range(count)]
        config = model.config.get_text_config()
        self.window = getattr(config, "sliding_window", None)
        self.kinds = set(getattr(config, "layer_types", None) or [])
        self.place: list[_Place] = []
        self.cache = Cache(layers=[_Layer(count, self.place) for _ in range(config.num_hidden_layers)])

    @torch.inference_mode()
    def last_hidden(self, wanted: Mapping[int, Sequence[int]]) -> torch.Tensor:
        """(b, hidden) at the last id of each wanted row, in the mapping's order. wanted: row -> its ids, all of them."""
        starts = [self._kept(row, ids) for row, ids in wanted.items()]
        rests = [list(ids[start:]) for ids, start in zip(wanted.values(), starts, strict=True)]
        longest = max(map(len, rests))
        device = self.model.device
        # Shorter rests are padded behind their end: those slots are masked for all that is real, and written over later.
        ids = torch.tensor([rest + [rest[-1]] * (longest - len(rest)) for rest in rests], device=device)
        slots = torch.tensor(starts, device=device)[:, None] + torch.arange(longest, device=device)[None]
        width = max(starts) + longest
        everyone = list(wanted) == list(range(self.count))
        self.place[:] = [_Place(torch.tensor(list(wanted), device=device), slots, width, everyone)]
        hidden = self.model.base_model(
            input_ids=ids,
            attention_mask=self._mask(slots, width),
            position_ids=slots,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        for row, row_ids in wanted.items():
            self.held[row] = list(row_ids)
        last = torch.tensor([len(rest) - 1 for rest in rests], device=device)
        return hidden[torch.arange(len(rests), device=device), last]

    def _kept(self, row: int, ids: Sequence[int]) -> int:
        """How many of `ids` the row holds already; the last one is always fed again, for its output is wanted."""
        held = self.held[row]
        same = next((i for i, (a, b) in enumerate(zip(held, ids, strict=False)) if a != b), min(len(held), len(ids)))
        return min(same, len(ids) - 1)

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
