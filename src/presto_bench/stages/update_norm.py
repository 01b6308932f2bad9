"""update_norm/<model>/<arm>/seed<n>.parquet: how far training moved an arm's weights from the base."""

import pandas as pd

from presto_bench import tables
from presto_bench.measures import update
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    norm, of = update.norms(job.path("model"), job.path("base"))
    row = {"model": job.wildcards["model"], "arm": job.wildcards["arm"], "seed": job.seed, "norm": norm, "of": of}
    tables.write(job.path("update_norm"), "update_norm", pd.DataFrame([row]))
