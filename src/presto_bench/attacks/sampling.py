"""The sampling attack: many samples at one temperature, nothing cut away; the analysis takes each request's best."""

from collections.abc import Sequence
from dataclasses import replace

from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.attacks.continuing import sampled
from presto_bench.config.attacks import Sampling
from presto_bench.config.models import SamplingConfig


def run(config: Sampling, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    temperature = float(variant.split("_")[0].removeprefix("t"))
    free = replace(setting, sampling=SamplingConfig(temperature=temperature))
    prefills = [request.prefill if config.prefill else "" for request in requests]
    return sampled(requests, prefills, config.samples, config.max_new_tokens, free, f"sampling {variant}")
