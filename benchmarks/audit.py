"""How long an audit takes, from an empty folder to its card.

python benchmarks/audit.py FOLDER [--guide FOLDER] > benchmarks/results/audit_<machine>.jsonl

FOLDER is a model's folder, such as results/standin/models/smollm2/untouched/seed0 of a finished demo. 24 requests about cooking, prefills of 1 to 50 tokens, no AutoRAP. One JSON object a line.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--guide", type=Path)
    parser.add_argument("--cores", default="2")
    given = parser.parse_args()
    guide = ["--guide", str(given.guide.resolve())] if given.guide else []
    with tempfile.TemporaryDirectory() as empty:
        words = ["audit", str(given.folder.resolve()), "--name", "measured", "--cores", given.cores, *guide]
        began = time.perf_counter()
        command = [sys.executable, "-m", "presto_bench.cli", *words]
        done = subprocess.run(command, cwd=empty, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
        minutes = (time.perf_counter() - began) / 60
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        found = list((Path(empty) / "results/audit_measured/benchmarks").rglob("*.tsv"))
        jobs = sum(float(pd.read_csv(path, sep="\t")["s"].sum()) for path in found)
    told = {"name": "audit_minutes", "minutes": round(minutes, 2), "minutes_in_jobs": round(jobs / 60, 2), "guide": bool(guide)}
    print(json.dumps(told | {"cores": int(given.cores), "machine": platform.processor() or platform.machine()}))


if __name__ == "__main__":
    main()
