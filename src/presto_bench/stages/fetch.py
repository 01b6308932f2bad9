"""models/<model>/untouched/seed0: the model as it is published, converted once to safetensors."""

import logging
from pathlib import Path

from presto_bench.lm import models
from presto_bench.stages.job import Job

log = logging.getLogger("presto_bench")


def make(job: Job) -> None:
    source = models.fetch(job.model, job.path("model"), Path("downloads"))
    log.info("fetched %s from %s", job.model.name, source)
