"""models/<model>/<arm>/seed0 of an arm of kind checkpoint: a finished model, taken as it is."""

from pathlib import Path

from presto_bench.config.arms import CheckpointArm
from presto_bench.lm import models
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    arm: CheckpointArm = job.item("arms")
    models.fetch(arm.source(job.model.dtype), job.path("model"), Path("downloads"), of=job.path("untouched"))
