"""How likely a text is to the untouched model: the measure that tells a recipe from word salad."""

from collections.abc import Sequence
from typing import Any

import torch

from presto_bench import chat
from presto_bench.judges.base import Item


def mean_log_likelihoods(model: Any, tokenizer: Any, chat_format: chat.ChatFormat, items: Sequence[Item], batch: int = 16) -> list[float]:
    """Mean log-likelihood a token (nats) of each continuation given prompt and prefill; 0 for an empty one."""
    encoded = [chat.encode(tokenizer, i.prompt, chat_format, i.prefill, i.continuation) for i in items]
    found: list[float] = []
    for start in range(0, len(encoded), batch):
        part = encoded[start : start + batch]
        spans = [(e.response_start, len(e.ids)) for e in part]
        losses = token_log_probs(model, [e.ids for e in part], tokenizer.eos_token_id)
        found += [float(row[a:b].mean()) if b > a else 0.0 for row, (a, b) in zip(losses, spans, strict=True)]
    return found


@torch.inference_mode()
def token_log_probs(model: Any, rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """(B, T) log-probability of each token given those before it; 0 at the first. Right padding, exact for real tokens."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    picked = logits.gather(-1, ids[:, 1:, None])[..., 0].float() - logits.float().logsumexp(-1)
    return torch.nn.functional.pad(picked, (1, 0))
