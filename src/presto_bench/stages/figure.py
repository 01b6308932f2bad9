"""figures/<figure>.pdf and .png: one figure from the tables it needs."""

import importlib

import pandas as pd

from presto_bench.figures import style
from presto_bench.figures.data import Data
from presto_bench.jobs import Job


def make(job: Job) -> None:
    module = importlib.import_module(f"presto_bench.figures.{job.wildcards['figure']}")
    spec = job.spec
    data = Data(
        tables={name: pd.read_csv(job.path(name), keep_default_na=True) for name in job.input},
        models=list(spec["arms"]),
        arms=spec["arms"],
        tasks=spec["tasks"],
        judge=spec["judge"],
        rap=tuple(spec["rap"]),
        headline=tuple(spec["headline"]),
        ranked=spec["ranked"],
    )
    with style.house():
        style.save(module.draw(data), job.path("pdf"), job.path("png"))
