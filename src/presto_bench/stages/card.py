"""card/card.json, .html and .png: the depth card of the arm that an audit looks at. Scores, ranks and counts, never text."""

import json

import pandas as pd

from presto_bench import tables
from presto_bench.analysis import card, scores, strength
from presto_bench.report import card_page
from presto_bench.runs import manifest
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    spec = job.spec
    graded = scores.graded_completions(job.all("completions"), job.all("grades"))
    answers = tables.read(job.path("answers"), "answers").set_index("prompt_id")["answer"]
    graded = strength.behind_beginnings(graded, answers.to_dict())
    measured = card.Measured(
        graded,
        *(job.all(name) for name in ("ranks", "first_tokens", "composition", "utility")),
        tables.read_csv(job.path("agreement")) if "agreement" in job.input else pd.DataFrame(),
        spec["attacks"],
    )
    environment = manifest.environment()
    about = {**spec["about"], "judge": spec["judge"], "policy": spec["policy"], "requests": int(graded["prompt_id"].nunique())}
    if measured.ranks.empty:
        why = "the target tells no likelihood of a given text"
        about["not_measured"] = [*about["not_measured"], {"what": "ranks and bits of a text", "why": why}]
    about |= {"commit": environment["git"]["commit"], "versions": environment["versions"]}
    found = {"about": about, **card.build(measured)}
    tables.write_text(job.path("card"), json.dumps(found, indent=1, allow_nan=False) + "\n")
    card_page.draw(found, job.path("png"))
    tables.write_text(job.path("html"), card_page.html(found, job.path("png").read_bytes()))
