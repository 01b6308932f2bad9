"""First tokens of refusals, as the stages that look for them need them."""

from collections.abc import Sequence
from typing import Any

from presto_bench import tables
from presto_bench.policies import by_name
from presto_bench.stages.job import Job


def of(job: Job, tokenizer: Any) -> set[int]:
    """Of a stand-in's list, with those of models that others have aligned where this one is; else of what the model's training triples say."""
    return by_name.openers(tokenizer, _refusals(job))


def _refusals(job: Job) -> Sequence[str]:
    if "triples" not in job.input:
        common = by_name.common_refusals() if job.spec.get("aligned_by_others") else []
        return [*by_name.standin(job.spec["policy"]).refusals(), *common]
    return list(tables.read(job.path("triples"), "triples")["refusal"].unique())
