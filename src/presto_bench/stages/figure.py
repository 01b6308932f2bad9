"""figures/<figure>.pdf and .png: one figure from the tables it needs."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data
from presto_bench.stages.job import Job
from presto_bench.tables import read_csv


def make(job: Job) -> None:
    draw(job.wildcards["figure"], {name: job.path(name) for name in job.input}, job.spec, job.path("pdf"), job.path("png"))


def draw(figure: str, tables: Mapping[str, Path], spec: Mapping[str, Any], pdf: Path, png: Path) -> None:
    """One figure from the CSV tables it needs. spec: the experiment's names, as rules/wanted.smk's shown() gives them."""
    module = importlib.import_module(f"presto_bench.report.figures.{figure}")
    data = read(tables, spec)
    with style.house():
        style.save(module.draw(data), pdf, png)


def read(tables: Mapping[str, Path], spec: Mapping[str, Any]) -> Data:
    """What a figure is drawn from."""
    return Data(
        tables={name: read_csv(path) for name, path in tables.items()},
        models=list(spec["arms"]),
        arms=spec["arms"],
        tasks=spec["tasks"],
        judge=spec["judge"],
        rap=tuple(spec["rap"]),
        headline=tuple(spec["headline"]),
        graders=spec.get("graders", [spec["judge"]]),
        ranked=spec["ranked"],
        picked=spec["picked"],
        hub=spec["hub"],
        entropy_sweep=spec.get("entropy_sweep", {}),
        methods=spec.get("methods", {}),
        beside=spec.get("beside", ()),
    )
