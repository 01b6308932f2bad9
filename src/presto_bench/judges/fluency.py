"""How likely a text is to the untouched model: the measure that tells a recipe from word salad."""

from collections.abc import Sequence
from typing import Any

from presto_bench import progress
from presto_bench.judges.base import Item
from presto_bench.lm import chat
from presto_bench.lm.forward import response_log_probs


def mean_log_likelihoods(
    model: Any, tokenizer: Any, chat_format: chat.ChatFormat, items: Sequence[Item], batch: int = 16
) -> list[float]:
    """Mean log-likelihood a token (nats) of each continuation given prompt and prefill; 0 for an empty one."""
    encoded = [chat.encode(tokenizer, i.prompt, chat_format, i.prefill, i.continuation) for i in items]
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].ids))  # little padding; the result is keyed by place
    found = [0.0] * len(encoded)
    for start in range(0, len(order), batch):
        progress.tell(start, len(order), "texts")
        part = order[start : start + batch]
        for i, log_probs in zip(
            part, response_log_probs(model, [encoded[i] for i in part], tokenizer.eos_token_id), strict=True
        ):
            found[i] = float(log_probs.mean()) if len(log_probs) else 0.0
    return found
