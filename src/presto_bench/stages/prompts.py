"""data/prompts.parquet and data/prefills.parquet: what is asked, and the attack's prefills."""

from presto_bench import tables
from presto_bench.config.standin import StandinConfig
from presto_bench.policies import by_name
from presto_bench.runs import sealed
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    policy = by_name.standin(job.spec["policy"])
    config = StandinConfig.model_validate(job.spec["standin"])
    if config.held_out == "sealed":
        sealed.note(job.root)
    prompts = policy.prompts(config)
    tables.write(job.path("prompts"), "prompts", prompts)
    tables.write(job.path("prefills"), "prefills", policy.attack_prefills(prompts))
