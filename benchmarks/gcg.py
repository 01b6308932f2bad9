"""What a GCG step costs on SmolLM2, with what stands before the suffix read once, and with it read again for every candidate.

OMP_NUM_THREADS=2 python benchmarks/gcg.py RUN > benchmarks/results/gcg_<machine>.jsonl

RUN is the folder of a finished run of config/config.yaml, such as results/standin. One request against the base, 10 steps of 64 candidates in each form. One JSON object a line.
"""

import argparse
import json
import platform
import resource
import statistics
import time
from pathlib import Path

import pandas as pd
import torch

from presto_bench.attacks.base import Request, Setting
from presto_bench.attacks.gcg import attack, search
from presto_bench.config import SamplingConfig
from presto_bench.config.attacks import Gcg
from presto_bench.lm import chat, models

STEPS, CANDIDATES = 10, 64


def seconds_a_step(setting: Setting, request: Request, config: Gcg, shares_prefix: bool) -> list[float]:
    """Seconds of each step behind the first."""
    made, start = attack.problem(config, request, setting)
    losses = search.Losses(setting.model, made, config.candidates, shares_prefix=shares_prefix)
    found, began = [], time.perf_counter()
    for step in search.search(losses, start, config):
        now = time.perf_counter()
        if step.step > 1:
            found.append(now - began)
        began = now
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    folder = given.run / "models/smollm2/base/seed0"
    model, tokenizer = models.load(folder, "float32")
    prompts = pd.read_parquet(given.run / "data/prompts.parquet").set_index("prompt_id")["prompt"]
    prefills = pd.read_parquet(given.run / "data/prefills.parquet").set_index("prompt_id")["prefill"]
    prompt_id = min(prefills.index)
    request = Request(prompt_id, prompts[prompt_id], prefills[prompt_id])
    setting = Setting(model, tokenizer, chat.ChatFormat(), SamplingConfig(), chat.end_of_turn(tokenizer, model), 2048)
    config = Gcg(name="gcg", kind="gcg", steps=STEPS, candidates=CANDIDATES)
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(1):
        for shares in times:
            times[shares] += seconds_a_step(setting, request, config, shares)
    shared, apart = (statistics.median(times[shares]) for shares in (True, False))
    made, start = attack.problem(config, request, setting)
    found = {
        "name": "gcg_step",
        "seconds": shared,
        "seconds_without_prefix_cache": apart,
        "ratio": apart / shared,
        "tokens_before_suffix": len(made.before),
        "tokens_behind": len(start) + len(made.behind) + len(made.target),
        "candidates": CANDIDATES,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
