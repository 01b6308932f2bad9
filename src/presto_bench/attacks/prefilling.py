"""The prefilling attack: prompt and prefill, then a sampled continuation (method.md section 5)."""

from collections.abc import Sequence

from presto_bench import chat
from presto_bench.attacks.base import Completion, Request, Setting, greedily, sampled
from presto_bench.attacks.configs import GREEDY, Prefilling


def run(config: Prefilling, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    if variant == GREEDY:
        return sampled(
            requests, [request.prefill for request in requests], 1, config.greedy_tokens, greedily(setting), "prefilling"
        )
    length = variant.removeprefix("prefill_")
    cut = None if length == "full" else int(length)
    prefills = [chat.encode_text(setting.tokenizer, request.prefill)[:cut] for request in requests]
    return sampled(requests, prefills, config.samples, config.max_new_tokens, setting, "prefilling")
