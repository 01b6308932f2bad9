"""models/<model>/<arm>/seed0 of an arm of kind checkpoint or endpoint: a finished model, taken or asked as it is."""

from pathlib import Path

from presto_bench import registry
from presto_bench.config.arms import CheckpointArm, EndpointArm
from presto_bench.lm import models
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    arm: CheckpointArm | EndpointArm = job.item("arms")
    if isinstance(arm, EndpointArm):
        # By name: its HTTP client takes a second to load, and the rule names the module for endpoints alone.
        place = registry.load("presto_bench.lm.served.target:place", f"arms.{arm.name}")
        place(arm, f"arms.{arm.name}", job.path("untouched"), job.path("model"))
        return
    models.fetch(arm.source(job.model.dtype), job.path("model"), Path("downloads"), of=job.path("untouched"))
