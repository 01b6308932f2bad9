"""PRESTO: a penalty on the attention that tokens pay to a harmful prefill (docs/method.md).

For a prefilled example j with prefill span [p_j, r_j) and end e_j, attention A over layers l and heads h:

    PRESTO = 2 / (n_layers * N) * sum over l, j, q in [p_j, e_j), h of m_lh(q),    m = mass of q's row on the prefill

The reference writes the summand as prefill - before - after + H per query; each row of A sums to 1, so that is 2m.
Where m comes from is another module's business: attention_mass.py takes it from fused attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from presto_bench.config.training import PrestoConfig
from presto_bench.errors import UserError


@dataclass(frozen=True)
class Spans:
    """What is penalised in a padded batch: attention of queries [query_start, end) on keys [key_start, key_end).

    Each (B,), in tokens. An example that is not penalised has key_start == key_end.
    """

    key_start: torch.Tensor
    key_end: torch.Tensor
    query_start: torch.Tensor
    end: torch.Tensor

    @classmethod
    def of_prefills(cls, prefill_start: torch.Tensor, prefill_end: torch.Tensor, end: torch.Tensor, queries: str) -> "Spans":
        """The method's spans. queries: `all` from the first prefill token on, or `refusal` tokens only."""
        return cls(prefill_start, prefill_end, prefill_start if queries == "all" else prefill_end, end)

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
        return _between(self.query_start, self.end, width) & self.penalised[:, None]


def prefill_mass(attention: torch.Tensor, spans: Spans) -> torch.Tensor:
    """(B, H, T) attention of each query on its example's keys, from eager attention's (B, H, T, T) probabilities.

    Causality caps the sum at min(r_j, q + 1): the probabilities beyond the query are zero.
    """
    keys = spans.keys(attention.shape[-1]).to(attention.dtype)
    return torch.einsum("bhqk,bk->bhq", attention, keys)


def presto_sum(masses: Sequence[torch.Tensor], spans: Spans, config: PrestoConfig) -> torch.Tensor:
    """The term times N, from each layer's masses (B, H, T), in float32 or better: the caller divides by the step's N.

    n_layers counts all layers, also when only some are penalised, so that the terms of disjoint layer sets add up.
    """
    chosen = range(len(masses)) if config.layers == "all" else config.layers
    if max(chosen) >= len(masses):
        raise UserError("presto.layers", f"layer {max(chosen)} of a model with {len(masses)}", "count layers from 0")
    queries = spans.queries(masses[0].shape[-1])[:, None, :]
    # The masses are summed in float32: a bfloat16 accumulator stalls.
    accumulate = torch.promote_types(masses[0].dtype, torch.float32)
    total = sum((masses[layer].to(accumulate) * queries).sum() for layer in chosen)
    return config.weight * 2 / len(masses) * total


def _between(first: torch.Tensor, last: torch.Tensor, width: int) -> torch.Tensor:
    positions = torch.arange(width, device=first.device)[None, :]
    return (positions >= first[:, None]) & (positions < last[:, None])
