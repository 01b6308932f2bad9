"""What ran: versions, commit, specs, hashes, device, peak memory, time. One file a job, one for the run."""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from presto_bench import tables

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "tokenizers",
    "safetensors",
    "pandas",
    "pyarrow",
    "numpy",
    "matplotlib",
    "snakemake",
    "presto-bench",
)


def write(
    path: str | Path,
    rule: str,
    wildcards: Mapping[str, str],
    spec: Any,
    code: str,
    seconds: float,
    notes: Sequence[str] = (),
) -> None:
    """The manifest of one job. notes: what makes this run unlike another, such as a batch that had to shrink."""
    record = {
        "rule": rule,
        "wildcards": dict(wildcards),
        "spec": spec,
        "code": code,
        "seconds": round(seconds, 2),
        "notes": list(notes),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        **environment(),
    }
    tables.write_text(path, json.dumps(record, indent=1, sort_keys=True) + "\n")


def environment() -> dict[str, Any]:
    return {"git": git_state(), "versions": _versions(), "device": _device(), "python": platform.python_version()}


def git_state() -> dict[str, Any]:
    """Commit and whether the tree differs from it; None outside a checkout."""

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except FileNotFoundError:
        return {"commit": None, "dirty": None}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _device() -> dict[str, Any]:
    device: dict[str, Any] = {"machine": platform.machine(), "threads": int(os.environ.get("OMP_NUM_THREADS", 0)) or None}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        device |= {"gpu": torch.cuda.get_device_name(), "peak_gpu_mb": round(torch.cuda.max_memory_allocated() / 2**20)}
    return device
