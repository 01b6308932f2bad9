"""Caches that can take tokens back, row by row.

Rows of different lengths share one batch; each is set to any ids at any time, and only what differs from what it holds is
fed. Taking tokens back is forgetting: later slots are masked until they are written again (reading.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from presto_bench.errors import UserError
from presto_bench.lm.reading import RowCache, takes_rows_apart


class Rollback:
    """A model and what it has seen of each of `count` rows."""

    def __init__(self, model: Any, count: int):
        if not takes_rows_apart(model):
            raise UserError(
                f"model {type(model).__name__} ({model.config.model_type})",
                "it keeps a running state, from which no token can be taken back",
                "leave out the attacks autorap, oracle and human for this model",
            )
        self.model, self.count = model, count
        self.held: list[list[int]] = [[] for _ in range(count)]
        self.cache = RowCache(model, count)

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
        everyone = list(wanted) == list(range(self.count))
        rows = None if everyone else torch.tensor(list(wanted), device=device)
        inputs = self.cache.inputs(ids, slots, max(starts) + longest, rows)
        hidden = self.model.base_model(**inputs).last_hidden_state
        for row, row_ids in wanted.items():
            self.held[row] = list(row_ids)
        last = torch.tensor([len(rest) - 1 for rest in rests], device=device)
        return hidden[torch.arange(len(rests), device=device), last]

    def _kept(self, row: int, ids: Sequence[int]) -> int:
        """How many of `ids` the row holds already; the last one is always fed again, for its output is wanted."""
        held = self.held[row]
        same = next((i for i, (a, b) in enumerate(zip(held, ids, strict=False)) if a != b), min(len(held), len(ids)))
        return min(same, len(ids) - 1)
