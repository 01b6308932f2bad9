"""What ran: versions, commit, specs, hashes, device, peak memory, time. One file a job, one for the run."""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
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


def write(path: str | Path, record: Mapping[str, Any]) -> None:
    """The manifest of one job: what the job says of itself, with the environment and the memory that it took."""
    memory = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    whole = {**record, "peak_memory_mb": memory, **environment()}
    tables.write_text(path, json.dumps(whole, indent=1, sort_keys=True) + "\n")


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
