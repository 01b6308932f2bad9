"""data/prompts.parquet and data/prefills.parquet: what is asked, and the attack's prefills."""

from presto_bench import tables
from presto_bench.config import StandinConfig
from presto_bench.jobs import Job
from presto_bench.standin import policy


def make(job: Job) -> None:
    prompts = policy.prompts(StandinConfig.model_validate(job.spec["standin"]))
    tables.write(job.path("prompts"), "prompts", prompts)
    tables.write(job.path("prefills"), "prefills", policy.attack_prefills(prompts))
