"""judge/<judge>/model: a local judge's weights."""

from pathlib import Path

from presto_bench.lm import models
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    models.fetch(job.item("judges").model_config_of(), job.path("weights"), Path("downloads"))
