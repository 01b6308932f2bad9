"""Attention written out, exact in the input's precision, with all matrices handed out: what fused masses are held against.

transformers' own eager attention rounds its softmax to float32, and gives NaN for rows that see nothing.
"""

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

NAME = "naive_for_tests"


def attention(module, query, key, value, attention_mask, scaling=None, **kwargs):
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    width = query.shape[2]
    visible = attention_mask if attention_mask is not None else torch.ones(width, width, dtype=torch.bool).tril()[None, None]
    scores = scores.masked_fill(~visible, -torch.inf)
    blind = ~visible.any(-1, keepdim=True)  # padding before the first token
    probabilities = scores.masked_fill(blind, 0).softmax(-1) * visible
    return (probabilities @ value).transpose(1, 2), probabilities


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
