"""front.rst: the report's first page."""

import json

import pandas as pd

from presto_bench import tables
from presto_bench.lm import precision
from presto_bench.report import front
from presto_bench.runs import sealed
from presto_bench.stages.job import Job

NAMES = ("checks", "scores", "bits", "reach", "composition", "push_forward", "fidelity", "verdicts")


def make(job: Job) -> None:
    read = {name: tables.read_csv(job.path(name)) if name in job.input else pd.DataFrame() for name in NAMES}
    headline = job.path("headline").read_text().splitlines()
    shown = [job.spec[name] for name in ("attacks", "judge", "control")]
    uses = [json.loads(path.read_text())["precision"] for path in job.paths("manifests")]
    opened = [f"{o['experiment']} ({o['opened']})" for o in sealed.openings(job.root)] if job.spec["sealed"] else []
    tables.write_text(job.path("front"), front.page(read, headline, *shown, precision.jobs_by_precision(uses), opened))
