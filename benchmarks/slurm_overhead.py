"""What Slurm and Snakemake add to a run's jobs: wall time of a run with one job at a time, less the jobs' own times, by job.

snakemake --profile slurm --jobs 1 --configfile tests/config/ci.yaml 2>&1 | tee run.log
python benchmarks/slurm_overhead.py results/ci run.log
"""

import json
import platform
import re
import sys
from datetime import datetime
from pathlib import Path

import pandas as pd

STAMP = re.compile(r"^\[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]$", re.MULTILINE)


def main(results: Path, log: Path) -> None:
    """One job at a time: every job is on the critical path, so that no time is hidden behind another job."""
    said = log.read_text()
    stamps = [datetime.strptime(text, "%a %b %d %H:%M:%S %Y") for text in STAMP.findall(said)]
    jobs = len(re.findall(r"has been submitted with SLURM jobid", said))
    wall = (stamps[-1] - stamps[0]).total_seconds()
    own = sum(float(pd.read_csv(path, sep="\t")["s"].sum()) for path in (results / "benchmarks").rglob("*.tsv"))
    for name, value in (
        ("slurm_wall_seconds", wall),
        ("slurm_job_seconds", own),
        ("slurm_overhead_per_job", (wall - own) / jobs),
    ):
        print(
            json.dumps(
                {
                    "name": name,
                    "value": round(value, 2),
                    "unit": "s",
                    "on": {"jobs": jobs},
                    "machine": f"{platform.machine()} CPU",
                }
            )
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
