"""How likely a text is to the untouched model: the measure that tells a recipe from word salad."""

from collections.abc import Sequence
from typing import Any

from presto_bench.judges.base import Item
from presto_bench.lm import chat, finite, forward


def mean_log_likelihoods(model: Any, tokenizer: Any, chat_format: chat.ChatFormat, items: Sequence[Item]) -> list[float]:
    """Mean log-likelihood a token (nats) of each continuation given prompt and prefill; 0 for an empty one."""
    encoded = [chat.encode(tokenizer, i.prompt, chat_format, i.prefill, i.continuation) for i in items]
    with finite.naming([item.completion_id for item in items]):
        return forward.mean_log_likelihoods(model, encoded, chat.filler(tokenizer))
