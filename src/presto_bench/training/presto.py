"""PRESTO: a penalty on the attention that tokens pay to a harmful prefill (docs/explanation/method.md).

For a prefilled example j with prefill span [p_j, r_j) and end e_j, attention A over layers l and heads h:

    PRESTO = 2 / (n_layers * N) * sum over l, j, q in [p_j, e_j), h of m_lh(q),    m = mass of q's row on the prefill

This is the public code's form (`normalisation: reference`, `queries: all`). The code writes the summand as
prefill - before - after + H per query; each row of A sums to 1, so this equals 2m.

Equation 3 of the paper (`normalisation: equation`, `queries: prefill`) is a mean over prefilled examples of a sum over
l, h and the queries of prompt and prefill; the summand is prefill - elsewhere. This equals 2 * sum of m over the
prefill's own queries, minus a constant, which is left out here since it has no gradient. It divides neither by layers
nor by tokens.

attention_mass.py computes m from fused attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import torch

from presto_bench.config.training import PrestoConfig
from presto_bench.errors import UserError

Position = TypeVar("Position", int, torch.Tensor)


@dataclass(frozen=True)
class Spans:
    """What is penalised in a padded batch: attention of queries [query_start, query_end) on keys [key_start, key_end).

    Each (B,), in tokens. An example that is not penalised has key_start == key_end.
    """

    key_start: torch.Tensor
    key_end: torch.Tensor
    query_start: torch.Tensor
    query_end: torch.Tensor

    @classmethod
    def of_prefills(cls, prefill_start: torch.Tensor, prefill_end: torch.Tensor, end: torch.Tensor, queries: str) -> "Spans":
        """The method's spans. queries: of PrestoConfig."""
        return cls(prefill_start, prefill_end, *query_span(queries, prefill_start, prefill_end, end))

    def to(self, device: torch.device) -> "Spans":
        return Spans(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def penalised(self) -> torch.Tensor:
        """(B,) bool: examples with keys to look away from."""
        return self.key_end > self.key_start

    def keys(self, width: int) -> torch.Tensor:
        """(B, T) bool: the tokens that attention is to leave."""
        return _between(self.key_start, self.key_end, width)

    def queries(self, width: int) -> torch.Tensor:
        """(B, T) bool: the tokens whose attention counts; none where nothing is penalised."""
        return _between(self.query_start, self.query_end, width) & self.penalised[:, None]


def query_span(queries: str, prefill_start: Position, prefill_end: Position, end: Position) -> tuple[Position, Position]:
    """First query and the one behind the last, of one example or of a batch. end: of the example."""
    return {"all": (prefill_start, end), "refusal": (prefill_end, end), "prefill": (prefill_start, prefill_end)}[queries]


def prefill_mass(attention: torch.Tensor, spans: Spans) -> torch.Tensor:
    """(B, H, T) attention of each query on its example's keys, from eager attention's (B, H, T, T) probabilities.

    Causality caps the sum at min(r_j, q + 1): the probabilities beyond the query are zero.
    """
    keys = spans.keys(attention.shape[-1]).to(attention.dtype)
    return torch.einsum("bhqk,bk->bhq", attention, keys)


def presto_sum(masses: Sequence[torch.Tensor], spans: Spans, config: PrestoConfig) -> torch.Tensor:
    """The term times its denominator, from each layer's masses (B, H, T), in float32 or better.

    The caller divides by what the optimiser step has of it: tokens that count (N; `normalisation: reference`) or penalised examples (`equation`).
    n_layers counts all layers, also when only some are penalised, so that the terms of disjoint layer sets add up.
    """
    chosen = range(len(masses)) if config.layers == "all" else config.layers
    if max(chosen) >= len(masses):
        raise UserError("presto.layers", f"layer {max(chosen)} of a model with {len(masses)}", "count layers from 0")
    queries = spans.queries(masses[0].shape[-1])[:, None, :]
    # The masses are summed in float32: a bfloat16 accumulator stalls.
    accumulate = torch.promote_types(masses[0].dtype, torch.float32)
    nothing = torch.zeros((), dtype=accumulate, device=masses[0].device)
    total = sum(((masses[layer].to(accumulate) * queries).sum() for layer in chosen), start=nothing)
    return config.weight * 2 / (len(masses) if config.normalisation == "reference" else 1) * total


def _between(first: torch.Tensor, last: torch.Tensor, width: int) -> torch.Tensor:
    positions = torch.arange(width, device=first.device)[None, :]
    return (positions >= first[:, None]) & (positions < last[:, None])
