"""What a run on Slurm needs beside Snakemake's executor: jobs that a dead head left behind, and an environment that nodes can see."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import yaml

from presto_bench.errors import UserError

# The executor names its jobs by the run's uuid.
_NAME = re.compile(r"(^|_)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
GONE_WITHIN = 120  # seconds
LOCAL = ("tmpfs", "ramfs", "overlay", "devtmpfs")  # file systems that live and die with one machine
SURE = "PRESTO_BENCH_SHARED"


def left_behind(folder: Path, experiment: str) -> list[str]:
    """Ids of Slurm jobs of this experiment that an earlier head submitted from `folder` and that still wait or run.

    Snakemake's lock allows one head per experiment, so the head that holds it knows that these jobs are orphans.
    Another experiment may run in the same folder; its jobs are recognised by the config that their script names.
    """
    user = os.environ.get("USER") or str(os.getuid())
    command = ["squeue", "--noheader", "--user", user, "--format", "%A|%j|%Z"]
    said = subprocess.run(command, capture_output=True, text=True)
    if said.returncode:
        raise UserError("squeue", said.stderr.strip() or "failed", "run snakemake where Slurm's commands work: a login node")
    rows = [line.split("|", 2) for line in said.stdout.splitlines()]
    mine = os.environ.get("SLURM_JOB_ID")  # the head may itself be a job
    here = [i for i, name, place in rows if i != mine and _NAME.search(name) and Path(place).resolve() == folder.resolve()]
    return [i for i in here if _experiment_of(i, folder) == experiment]


def _experiment_of(job: str, folder: Path) -> str | None:
    """The experiment that a submitted job belongs to; None where its script cannot be read or names no config that is there."""
    script = subprocess.run(["scontrol", "write", "batch_script", job, "-"], capture_output=True, text=True).stdout
    return experiment_in(script, folder)


def experiment_in(script: str, folder: Path) -> str | None:
    """The experiment of a batch script that runs Snakemake: the last config it names, or the default one, and --config over both."""
    command = next((line for line in script.splitlines() if "-m snakemake" in line), None)
    if command is None:
        return None
    words = shlex.split(command)
    files = _after(words, "--configfiles") or ["config/config.yaml"]
    given = [word.split("=", 1)[1] for word in _after(words, "--config") if word.startswith("experiment=")]
    try:
        named = [yaml.safe_load((folder / file).read_text()).get("experiment") for file in files]
    except (OSError, yaml.YAMLError, AttributeError):
        return None
    return [*(name for name in named if name), *given][-1]


def _after(words: Sequence[str], option: str) -> list[str]:
    """An option's values: the words up to the next option."""
    if option not in words:
        return []
    return list(takewhile(lambda word: not word.startswith("--"), words[words.index(option) + 1 :]))


def cancel(jobs: Sequence[str]) -> None:
    """Cancel and wait until they are gone: two jobs must not write the same files. Training saves a checkpoint as it goes."""
    subprocess.run(["scancel", *jobs], check=True)
    deadline = time.monotonic() + GONE_WITHIN
    while _alive(jobs):
        if time.monotonic() > deadline:
            raise UserError(
                "Slurm", f"jobs {', '.join(jobs)} of an earlier run do not end", "scancel them, then run snakemake again"
            )
        time.sleep(1)


def _alive(jobs: Sequence[str]) -> bool:
    states = "PENDING,RUNNING,COMPLETING,CONFIGURING,SUSPENDED"
    command = ["squeue", "--noheader", "--jobs", ",".join(jobs), "--states", states, "--format", "%A"]
    return bool(subprocess.run(command, capture_output=True, text=True).stdout.strip())


def require_shared(places: Sequence[Path]) -> None:
    """Refuse a project or an environment that only this machine can see, as far as its file system tells."""
    if os.environ.get(SURE):
        return
    for place in places:
        kind = _file_system(place)
        if kind in LOCAL:
            raise UserError(
                place,
                f"is on {kind}, which the cluster's nodes do not see: every job runs this environment from this folder",
                f"move it to a shared file system (home, work, scratch), or set {SURE}=1 if all nodes do see it",
            )


def _file_system(place: Path) -> str:
    """Type of the file system that holds `place`."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = {str(p) for p in (place.resolve(), *place.resolve().parents)}
    held = [(len(point), kind) for point, kind in mounts if point in above]
    return max(held)[1] if held else "unknown"


def begin(folder: Path, experiment: str) -> list[str]:
    """What has to be right before the first job is submitted; ids of the orphans that were cancelled."""
    require_shared([folder, Path(sys.prefix)])
    orphans = left_behind(folder, experiment)
    if orphans:
        cancel(orphans)
    return orphans
