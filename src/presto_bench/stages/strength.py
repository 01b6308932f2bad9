"""strength/<model>.csv and .json: what each learning rate of the grid does, and which of them the rule admits."""

import json
from dataclasses import asdict

from presto_bench import tables
from presto_bench.analysis import scores, strength
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    graded = scores.graded_completions(job.all("completions"), job.all("grades"))
    answers = tables.read(job.path("answers"), "answers").set_index("prompt_id")["answer"]
    graded = strength.behind_beginnings(graded, answers.to_dict())
    measured = strength.Measured(graded, job.all("utility"), job.all("entropy"))
    found = strength.table(measured, job.spec["rates"], job.spec["depths"], job.spec["bootstrap"])
    tables.write_text(job.path("table"), found.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    decided = {"of": job.spec["of"], **asdict(strength.pick(found))}
    tables.write_text(job.path("pick"), json.dumps(decided, indent=1) + "\n")
