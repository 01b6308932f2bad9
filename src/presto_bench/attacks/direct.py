"""The direct request: the prompt alone (docs/reference/attacks.md)."""

from collections.abc import Sequence

from presto_bench.attacks.base import Completion, Request, Setting, greedily
from presto_bench.attacks.continuing import sampled
from presto_bench.config.attacks import GREEDY, Direct


def run(config: Direct, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    nothing = [""] * len(requests)
    if variant == GREEDY:
        return sampled(requests, nothing, 1, config.greedy_tokens, greedily(setting), "direct")
    return sampled(requests, nothing, config.samples, config.max_new_tokens, setting, "direct")
