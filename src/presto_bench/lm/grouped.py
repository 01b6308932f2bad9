"""Attention of one new token with grouped queries, without copies of the keys.

Where several query heads share one key head, transformers' SDPA copies keys and values for each of them as soon as there is a mask. One token a row needs
no copy: the query heads of a group stand where a longer query's positions would.
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """SDPA's output (B, T, H, D). query (B, H, T, D); key, value (B, H / groups, K, D); mask broadcastable to (B, H, T, K)."""
    batch, heads, length, width = query.shape
    groups = heads // key.shape[1]
    per_head = attention_mask is not None and attention_mask.shape[1] > 1
    if length > 1 or groups == 1 or per_head or kwargs.get("dropout"):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    grouped = query.reshape(batch, -1, groups, width)
    mask = None if attention_mask is None else attention_mask.expand(-1, -1, groups, -1)
    output = torch.nn.functional.scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(batch, 1, heads, -1), None


# Without the mask's own entry transformers passes no mask at all, silently.
AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def switch_on(model: Any) -> None:
    """Where the model takes attention from transformers' interface as SDPA; any other stays as it is."""
    if getattr(model, "_supports_attention_backend", False) and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)
