"""What a start costs: of a job, of `auto` precision against bfloat16, and of the tests.

python benchmarks/start.py                  jobs and precision: some ten minutes, with nothing else running
python benchmarks/start.py --suites         `make test` and `.ci/run` in a fresh clone: an hour
One JSON object a line; `machine` names the CPU and says whether it has AVX-512 (without it most CPUs emulate bfloat16).
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from presto_bench import config
from presto_bench.config.training import TrainingConfig
from presto_bench.lm import models
from presto_bench.lm.chat import ChatFormat, encode
from presto_bench.training import trainer
from presto_bench.training.examples import collate

ROOT = Path(__file__).parent.parent
ROWS, PROMPT, BATCH, RUNS, TEXT = 32, 40, 8, 3, 110


def machine() -> dict[str, object]:
    said = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"model name\s*:\s*(.+)", said)
    return {"cpu": name[1] if name else "unknown", "cores": os.cpu_count(), "avx512": "avx512" in said}


def say(name: str, value: float, unit: str, on: dict[str, object]) -> None:
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "on": on, "machine": machine()}), flush=True)


def job_starts() -> None:
    """Seconds from the process that Snakemake starts for a script to the call of its stage: as the jobs' own logs say."""
    with tempfile.TemporaryDirectory() as folder:
        raw = yaml.safe_load((ROOT / "tests/config/ci.yaml").read_text())
        raw["standin"] |= {"dishes": {"train": 1, "dev": 1, "test": 1}, "benign": {"train": 1, "dev": 1, "test": 1}}
        raw["standin"]["answers"] |= {"max_new_tokens": 1, "min_score": 0.0}
        path = Path(folder) / "start.yaml"
        path.write_text(yaml.safe_dump(raw | {"experiment": "start"}))
        jobs = {"without a model": "data/prompts.parquet", "with SmolLM2": "data/smollm2/answers.parquet"}
        logs = {"without a model": "prompts", "with SmolLM2": "answers"}
        files = [f"results/start/{file}" for file in jobs.values()]
        words = [sys.executable, "-m", "snakemake", *files, "--cores", "2", "--quiet", "rules", "--configfile", str(path)]
        found: dict[str, list[float]] = {kind: [] for kind in jobs}
        for again in [[], *[["--forcerun", "prompts", "answers"]] * RUNS]:
            subprocess.run([*words, *again], check=True, cwd=ROOT, stdout=sys.stderr)
            for kind, rule in logs.items():
                said = "".join(p.read_text() for p in (ROOT / "results/start/logs").rglob("*.log") if rule in str(p))
                found[kind].append(float(re.search(r"began ([\d.]+) s after", said)[1]))
    for kind, seconds in found.items():
        say("job_start_seconds", statistics.median(seconds[1:]), "s", {"job": kind, "runs": RUNS, "first": seconds[0]})


def median(step: Callable[[], object]) -> float:
    step()
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def decoding(folder: Path, dtype: str) -> float:
    """Seconds of one decoding step of ROWS rows behind PROMPT tokens."""
    model, _ = models.load(folder, dtype)
    with torch.inference_mode():
        ids = torch.randint(100, 40_000, (ROWS, PROMPT), generator=torch.Generator().manual_seed(0))
        cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values

        def step() -> None:
            model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache.crop(-1)

        return median(step)


def training_step(folder: Path, autocast: str) -> float:
    """Seconds of one step, forward and backward, of BATCH rows of TEXT tokens through LoRA."""
    from presto_bench.lm import precision
    from presto_bench.training.examples import Example

    model, tokenizer = models.load(folder, "float32")
    adapted = trainer.adapted(model, TrainingConfig(batch_size=BATCH))
    row = encode(tokenizer, "How?", ChatFormat(), "", "stir " * TEXT)
    batch = collate([Example("p", row, True, TEXT)] * BATCH, tokenizer.eos_token_id)["input_ids"][:, :TEXT]
    cast = precision.resolve_autocast(autocast) is not None

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            adapted(input_ids=batch, labels=batch).loss.backward()

    return median(step)


def precisions() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "smollm2"
        models.fetch(
            config.load(yaml.safe_load((ROOT / "config/config.yaml").read_text())).models[0], folder, ROOT / "downloads"
        )
        for what, measure, on in (
            ("decoding step", decoding, {"rows": ROWS}),
            ("training step", training_step, {"rows": BATCH, "tokens": TEXT}),
        ):
            auto, fast = measure(folder, "auto"), measure(folder, "bfloat16")
            on |= {"what": what, "auto_seconds": round(auto, 4), "bfloat16_seconds": round(fast, 4), "runs": RUNS}
            say("auto_over_bfloat16", auto / fast, "ratio", on)


def suites() -> None:
    """A fresh clone's `make test` (its environment made before) and whole `.ci/run`, in minutes."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as scratch:
        for name, before, command in (
            ("test_minutes", "make .venv", "make test"),
            ("ci_minutes", "true", "bash .ci/run"),
        ):
            clone = Path(scratch) / name
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
            subprocess.run(before.split(), cwd=clone, check=True, stdout=sys.stderr)
            started = time.perf_counter()
            done = subprocess.run(command.split(), cwd=clone, stdout=sys.stderr)
            say(
                name, (time.perf_counter() - started) / 60, "min", {"command": command, "commit": commit, "rc": done.returncode}
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", action="store_true", help="time `make test` and `.ci/run` instead")
    if parser.parse_args().suites:
        return suites()
    job_starts()
    precisions()


if __name__ == "__main__":
    main()
