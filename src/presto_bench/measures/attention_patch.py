"""Setting attention by hand: the mass that queries pay to a span of keys, made what we want it to be, layer by layer.

With attention probabilities in three groups, the span's mass m, h that is held, and the rest r = 1 - m - h, adding log(t / m) to the span's logits and
log((1 - h - t) / r) to the rest's leaves the sum of exponentials at 1: the span's mass is exactly t, the held keys keep theirs, and the shares within each
group stay as they were. One bias a group, query and head, added to the mask.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from presto_bench.training.attention_mass import attention_with_mass

NAME = "sdpa_patched"
LEAST = 1e-6  # a mass of exactly 0 or 1 has no logit


@dataclass(frozen=True)
class Patch:
    """What one forward pass changes.

    layers: the patched layers. keys, queries: (B, T) bool. prefill: (B, T) bool, the span whose mass sets the size of
    the change. wanted: (layer, current mass (B, H, T) on the prefill) -> mass that the prefill would get. `keys` get
    their own mass plus that change, so that a sham span is changed by as much as the prefill would be. For a sham the
    prefill's own mass is held constant; else the sham would change the prefill in the opposite direction. moved: mean
    change, one value per patched layer, filled during the pass.
    """

    layers: frozenset[int]
    keys: torch.Tensor
    queries: torch.Tensor
    prefill: torch.Tensor
    wanted: Callable[[int, torch.Tensor], torch.Tensor]
    moved: list[float] = field(default_factory=list)


def knocked_out(layer: int, mass: torch.Tensor) -> torch.Tensor:
    """No attention to the prefill."""
    return torch.zeros_like(mass)


def taken_over(masses: Sequence[torch.Tensor]) -> Callable[[int, torch.Tensor], torch.Tensor]:
    """The masses (B, H, T) that another model pays at each layer on the same tokens."""
    return lambda layer, mass: masses[layer].to(mass)


def patched_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    attention_patch: Patch | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' SDPA with the patch's bias on its mask, in the layers that the patch names."""
    kwargs.pop("output_attentions", None)
    if attention_patch is None or module.layer_idx not in attention_patch.layers:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    bias = _bias(module, query, key, value, attention_mask, scaling, attention_patch, **kwargs)
    allowed = _allowed(attention_mask, query, key)
    mask = torch.zeros(allowed.shape, dtype=query.dtype, device=query.device).masked_fill(~allowed, -torch.inf)
    return sdpa_attention_forward(module, query, key, value, mask + bias, scaling=scaling, **kwargs)


def _bias(module, query, key, value, attention_mask, scaling, patch: Patch, **kwargs) -> torch.Tensor:
    """(B, H, T, T): b on the patched keys of the patched queries, else 0."""

    def mass(keys: torch.Tensor) -> torch.Tensor:
        _, found = attention_with_mass(module, query, key, value, attention_mask, scaling, prefill_keys=keys, **kwargs)
        assert found is not None  # keys were asked for
        return found.float()  # in bfloat16 a mass of 1 - LEAST is 1, and has no logit

    ours = patch.queries[:, None, :]
    own = mass(patch.prefill)
    change = (patch.wanted(module.layer_idx, own) - own) * ours
    before = mass(patch.keys)
    held = patch.prefill & ~patch.keys
    kept = mass(held) if held.any() else torch.zeros_like(before)
    room = (1 - kept - LEAST).clamp(min=LEAST)  # a query that looks at nothing but what is held has none
    after = torch.minimum((before + change).clamp(min=LEAST), room)
    after = torch.where(before > LEAST, after, before)  # what a query does not see (a sliding window) cannot be given anything
    patch.moved.append(float((after - before)[ours.expand_as(before)].mean()))
    on_keys = _log_ratio(after, before) * ours
    on_rest = _log_ratio(1 - kept - after, 1 - kept - before) * ours
    rest = ~(patch.keys | held)
    bias = on_keys[..., None] * patch.keys[:, None, None, :] + on_rest[..., None] * rest[:, None, None, :]
    return bias.to(query.dtype)


def _log_ratio(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    return new.clamp(min=LEAST).log() - old.clamp(min=LEAST).log()


def _allowed(attention_mask: torch.Tensor | None, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """(B or 1, 1, T, T) bool: what a query may see; transformers leaves a plain causal mask out."""
    if attention_mask is not None:
        return attention_mask
    return torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()[None, None]


AttentionInterface.register(NAME, patched_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def patchable(model: Any) -> Iterator[None]:
    """Within, forward passes of `model` take `attention_patch`."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
