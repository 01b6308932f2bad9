"""models/<model>/base/seed0 of policy `harm`: the model as it was published, which others have aligned."""

from presto_bench.lm import folders
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    folders.link(job.path("untouched"), job.path("trained"))
