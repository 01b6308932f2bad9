"""The last screen of a run: jobs, repetitions, failures, time, GPU hours, and where to read on."""

import json
import re
import time
from collections import Counter
from pathlib import Path

from presto_bench.config.experiment import Config

_FAILED = re.compile(r"^Error in rule (\w+)", re.MULTILINE)
_AGAIN = re.compile(r"Trying to restart job (\d+)")


def screen(log: Path, config: Config, started: float) -> str:
    """log: Snakemake's own of this run, for what failed (--quiet keeps the rest out of it); started: seconds since the epoch."""
    said = log.read_text(errors="replace") if log.exists() else ""
    failed = Counter(_FAILED.findall(said))
    again, root = len(_AGAIN.findall(said)), Path("results") / config.experiment
    finished, seconds, gpu_seconds = _jobs(root, config, started)
    lines = [
        f"jobs       {finished} finished, {again} repeated, {max(failed.total() - again, 0)} failed",
        f"time       {_clock(time.time() - started)} here, {_clock(seconds)} in jobs, {gpu_seconds / 3600:.2f} GPU hours asked for",
    ]
    if failed:
        lines.append("failed     " + ", ".join(f"{rule} ({n})" for rule, n in failed.items()))
        lines.append("see        presto-bench status --config CONFIG, which names the logs")
    if (root / "summary.json").exists() and not failed:
        lines = [*_result(root), "", *lines]
        lines.append(f"numbers    {root}/tables, {root}/summary.json")
        lines.append(f"figures    {root}/figures")
        lines.append(f"page       {root}/report/index.html (open it in any browser)")
        lines.append(f"report     snakemake --report {root}/report.html (with the same --configfile)")
    return "\n" + "\n".join(lines) + "\n"


def _result(root: Path) -> list[str]:
    """What came out: the headline, and which checks do not hold."""
    found = json.loads((root / "summary.json").read_text())["checks"]
    judged = {
        f"{model}, {name}": check for model, own in found.items() for name, check in own.items() if check["ok"] is not None
    }
    failing = [f"  {name}: {check['value']}, wanted {check['bar']}" for name, check in judged.items() if not check["ok"]]
    told = f"checks     {len(judged) - len(failing)} of {len(judged)} hold" + (", but not" if failing else "")
    headline = root / "tables/headline.txt"
    return [*(headline.read_text().splitlines() if headline.exists() else []), "", told, *failing]


def _jobs(root: Path, config: Config, started: float) -> tuple[int, float, float]:
    """Jobs that ended in this run by their benchmark files, their seconds, and those times the GPUs that their model asks for."""
    gpus = {model.name: model.resources.gpu for model in config.models}
    count, total, on_gpus = 0, 0.0, 0.0
    for path in (root / "benchmarks").rglob("*.tsv"):
        if path.stat().st_mtime < started:
            continue
        rows = path.read_text().splitlines()[1:]
        seconds = sum(float(row.split("\t")[0]) for row in rows if row)
        count, total = count + 1, total + seconds
        on_gpus += seconds * max((gpus.get(part.removesuffix(".tsv"), 0) for part in path.parts), default=0)
    return count, total, on_gpus


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
