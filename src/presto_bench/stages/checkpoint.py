"""models/<model>/<arm>/seed0 of an arm of kind checkpoint: a user's own model, taken as it is."""

from pathlib import Path

from presto_bench.config.arms import CheckpointArm
from presto_bench.config.models import LocalModel
from presto_bench.lm import models
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    arm: CheckpointArm = job.item("arms")
    local = LocalModel(name=arm.name, kind="local", path=arm.path, dtype=job.model.dtype)
    models.fetch(local, job.path("model"), Path("downloads"))
