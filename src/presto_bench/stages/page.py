"""report/index.html and tables/requests.csv: the result as one page, from tables alone; with texts only where they may be shown."""

import json

import pandas as pd

from presto_bench import tables
from presto_bench.analysis import per_request, scores
from presto_bench.report.figures import style
from presto_bench.report.page import build
from presto_bench.report.page.charts import Shown
from presto_bench.stages.job import Job

PICTURES = {"claims": "headline", "curve": "curve"}  # section -> the figure that is embedded as it is


def make(job: Job) -> None:
    spec = job.spec
    frames = {path.stem: tables.read_csv(path) for path in job.paths("tables") if path.suffix == ".csv"}
    requests = _per_request(job)
    tables.write_three(job.path("requests").with_suffix(""), requests)
    figures = {path.stem: path for path in job.paths("figures")}
    found = build.Found(
        experiment=spec["experiment"],
        shown=Shown(
            tables={name: frame for name, frame in frames.items() if name != "examples"},  # which hold text
            arms=[style.label(arm) for arm in dict.fromkeys(arm for own in spec["arms"].values() for arm in own)],
            judge=spec["judge"],
            kinds=spec["kinds"],
            rap=tuple(spec["rap"]),
            headline=tuple(spec["headline"]),
            texts=_texts(job) if spec["show"] else {},
        ),
        headline=job.path("headline").read_text(encoding="utf-8").splitlines(),
        requests=requests,
        steps=job.all("steps"),
        manifest=json.loads(job.path("run").read_text(encoding="utf-8")),
        pictures={section: figures[name].read_bytes() for section, name in PICTURES.items() if name in figures},
        show=spec["show"],
    )
    tables.write_text(job.path("page"), build.html(found))


def _per_request(job: Job) -> pd.DataFrame:
    graded = scores.graded_completions(job.all("completions"), job.all("grades"))
    graded = scores.best_of(graded, job.spec["best_of"])
    prefilling = job.spec["prefilling"]
    cells = per_request.Cells(tuple(job.spec["rap"]), tuple(prefilling) if prefilling else None)
    return per_request.table(graded, job.all("ranks"), job.spec["judge"], cells)


def _texts(job: Job) -> dict[str, str]:
    prompts = tables.read(job.path("prompts"), "prompts")
    return dict(zip(prompts["prompt_id"], prompts["prompt"], strict=True))
