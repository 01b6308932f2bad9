"""Checks that a model's outputs are finite numbers.

With NaN logits, greedy decoding picks token 0 and sampling the last token; both would be graded as harmless text.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from presto_bench.errors import UserError

MARK = -1  # stands where a token would, and travels to the host with the others


class NotFinite(UserError):
    """A model's numbers are NaN or infinite. rows: places in the batch."""

    def __init__(self, model: Any, rows: Sequence[int], what: str = "logits", requests: Sequence[str] = ()):
        self.model, self.rows, self.what = model, tuple(sorted(set(rows))), what
        named = (
            f"request {', '.join(dict.fromkeys(requests))}"
            if requests
            else f"row {', '.join(map(str, self.rows))} of the batch"
        )
        super().__init__(
            f"model {getattr(model, 'name_or_path', '') or type(model).__name__} ({str(model.dtype).removeprefix('torch.')})",
            f"its {what} are not finite (NaN or infinite), for {named}; nothing of this was graded",
            "look into the arm's training metrics for a divergence, or set `dtype`/`decode_dtype: float32` where float16 overflows",
        )


def marked(tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """tokens (b,), MARK where the row's logits (b, V) hold a NaN or +inf, or nothing but -inf. Waits for no device."""
    return tokens.masked_fill(~logits.amax(-1).isfinite(), MARK)


def require(numbers: torch.Tensor, model: Any, what: str = "logits") -> torch.Tensor:
    """numbers (b, …, n), where each row's largest is a finite number; the host waits for the device once."""
    if not len(numbers):
        return numbers
    bad = ~numbers.amax(-1).isfinite().reshape(len(numbers), -1).all(-1)
    if bool(bad.any()):
        raise NotFinite(model, bad.nonzero()[:, 0].tolist(), what)
    return numbers


@contextmanager
def of_rows(rows: Sequence[int]) -> Iterator[None]:
    """Within: places in an error are those of a larger batch. rows: where each of the smaller one's stands in it."""
    try:
        yield
    except NotFinite as error:
        raise NotFinite(error.model, [rows[place] for place in error.rows], error.what) from None


@contextmanager
def naming(prompt_ids: Sequence[str]) -> Iterator[None]:
    """Within: rows of an error are called by their requests. prompt_ids: of the batch that is worked on."""
    try:
        yield
    except NotFinite as error:
        if not all(row < len(prompt_ids) for row in error.rows):
            raise
        raise NotFinite(error.model, error.rows, error.what, [prompt_ids[row] for row in error.rows]) from error
