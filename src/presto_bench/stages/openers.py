"""First tokens of refusals, as the stages that look for them need them."""

from collections.abc import Sequence
from typing import Any

from presto_bench import tables
from presto_bench.policies import by_name
from presto_bench.stages.job import Job


def of(job: Job, tokenizer: Any) -> set[int]:
    """Of the refusals in the model's training triples; without any, of the stand-in's list and of how models that others have aligned decline."""
    return by_name.openers(tokenizer, _refusals(job))


def _refusals(job: Job) -> Sequence[str]:
    if "triples" in job.input:
        return list(tables.read(job.path("triples"), "triples")["refusal"].unique())
    common = by_name.common_refusals() if job.spec.get("aligned_by_others") else []
    own = by_name.STANDINS.get(job.spec["policy"])
    return [*(own.refusals() if own else ()), *common]
