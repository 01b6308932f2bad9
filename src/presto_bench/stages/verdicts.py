"""verdicts.json and tables/verdicts: what the evidence says to each claim."""

import json

import pandas as pd

from presto_bench import tables
from presto_bench.analysis import claims, scores
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    def everything(name: str) -> pd.DataFrame:
        frames = [tables.read(path, name) for path in job.paths(name)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(tables.TABLES[name].columns))

    graded = scores.best_of(scores.graded_completions(everything("completions"), everything("grades")), job.spec["best_of"])
    evidence = claims.Evidence(
        graded, everything("ranks"), everything("utility"), tables.read_csv(job.path("checks")), **job.spec["tasks"]
    )
    table = claims.verdicts(claims.read(job.path("claims")), evidence, job.spec["models"], job.spec["bootstrap"])
    tables.write_three(job.path("table").with_suffix(""), table)
    found = json.loads(table.to_json(orient="records", double_precision=6))
    tables.write_text(job.path("verdicts"), json.dumps({"claims": found}, indent=1) + "\n")
