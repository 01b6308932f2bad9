"""verdicts.json and tables/verdicts: what the evidence says to each claim."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from presto_bench import tables
from presto_bench.analysis import claims, crossed, scores
from presto_bench.runs import stated
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    pools: Mapping[str, Sequence[str]] = {pool["name"]: pool["models"] for pool in job.spec["pools"]}

    def everything(name: str) -> pd.DataFrame:
        frames = [tables.read(path, name) for path in job.paths(name)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(tables.TABLES[name].columns))

    graded = scores.best_of(scores.graded_completions(everything("completions"), everything("grades")), job.spec["best_of"])
    frames = (crossed.pooled(frame, pools) for frame in (graded, everything("ranks"), everything("utility")))
    checks = _of_pools(tables.read_csv(job.path("checks")), pools)
    evidence = claims.Evidence(*frames, checks, **job.spec["tasks"])
    pooled = {model for models in pools.values() for model in models}
    models = [*pools, *(model for model in job.spec["models"] if model not in pooled)]
    table = claims.verdicts(claims.read(job.path("claims")), evidence, models, job.spec["bootstrap"])
    if len(table):
        known = stated.stated(job.path("claims"), [_commit(path) for path in job.paths("manifests")])
        table["stated"] = table["stated"].replace({stated.BEFORE: known})
    tables.write_three(job.path("table").with_suffix(""), table)
    found = json.loads(table.to_json(orient="records", double_precision=6))
    tables.write_text(job.path("verdicts"), json.dumps({"claims": found}, indent=1) + "\n")


def _commit(manifest: Path) -> str | None:
    """What a job ran at; None outside of a checkout."""
    return json.loads(manifest.read_text())["git"]["commit"]


def _of_pools(checks: pd.DataFrame, pools: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """With one more row a pool and check: it holds where it holds for each of the pool's models."""
    rows = []
    for pool, models in pools.items():
        own = checks[checks["model"].isin(models)]
        for name, group in own.groupby("name", sort=False):
            answers = {str(ok) for ok in group["ok"]}
            ok = "False" if "False" in answers else "True" if answers == {"True"} else None
            rows.append({"model": pool, "name": name, "value": None, "bar": group["bar"].iloc[0], "ok": ok})
    return pd.concat([checks, pd.DataFrame(rows)], ignore_index=True) if rows else checks
