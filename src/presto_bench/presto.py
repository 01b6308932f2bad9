"""PRESTO: a penalty on the attention that tokens pay to a harmful prefill (method.md section 4).

For a prefilled example j with prefill span [p_j, r_j) and end e_j, attention A over layers l and heads h:

    PRESTO = 2 / (n_layers * N) * sum over l, j, q in [p_j, e_j), h of m_lh(q),    m = mass of q's row on the prefill

The reference writes the summand as prefill - before - after + H per query; each row of A sums to 1, so that is 2m.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from presto_bench.config import PrestoConfig
from presto_bench.errors import UserError


@dataclass(frozen=True)
class Spans:
    """Positions in the padded batch, each (B,) and in tokens. An example without a prefill has prefill_start == prefill_end."""

    prefill_start: torch.Tensor
    prefill_end: torch.Tensor
    end: torch.Tensor

    @property
    def prefilled(self) -> torch.Tensor:
        """(B,) bool: examples with a prefill."""
        return self.prefill_end > self.prefill_start

    def keys(self, width: int) -> torch.Tensor:
        """(B, T) bool: prefill tokens."""
        return _between(self.prefill_start, self.prefill_end, width)

    def queries(self, width: int, which: str) -> torch.Tensor:
        """(B, T) bool: the tokens whose attention counts; none where there is no prefill."""
        first = self.prefill_start if which == "all" else self.prefill_end
        return _between(first, self.end, width) & self.prefilled[:, None]


def prefill_mass(attention: torch.Tensor, spans: Spans) -> torch.Tensor:
    """(B, H, T) attention of each query on its example's prefill, from (B, H, T, T) probabilities.

    Causality caps the sum at min(r_j, q + 1): the probabilities beyond the query are zero.
    """
    keys = spans.keys(attention.shape[-1]).to(attention.dtype)
    return torch.einsum("bhqk,bk->bhq", attention, keys)


def presto_sum(attentions: Sequence[torch.Tensor], spans: Spans, config: PrestoConfig) -> torch.Tensor:
    """The term times N, in float32 or better: the caller divides by the optimiser step's N.

    n_layers counts all layers, also when only some are penalised, so that the terms of disjoint layer sets add up.
    """
    chosen = range(len(attentions)) if config.layers == "all" else config.layers
    if max(chosen) >= len(attentions):
        raise UserError("presto.layers", f"layer {max(chosen)} of a model with {len(attentions)}", "count layers from 0")
    width = attentions[0].shape[-1]
    queries = spans.queries(width, config.queries)[:, None, :]
    # The masses are summed in float32: a bfloat16 accumulator stalls (facts.md).
    accumulate = torch.promote_types(attentions[0].dtype, torch.float32)
    total = sum((prefill_mass(attentions[layer], spans).to(accumulate) * queries).sum() for layer in chosen)
    return config.weight * 2 / len(attentions) * total


def _between(first: torch.Tensor, last: torch.Tensor, width: int) -> torch.Tensor:
    positions = torch.arange(width, device=first.device)[None, :]
    return (positions >= first[:, None]) & (positions < last[:, None])
