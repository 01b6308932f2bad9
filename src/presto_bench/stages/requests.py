"""The requests that an attack job works on, in batches; and the completions of several parts in one table."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from presto_bench import tables
from presto_bench.attacks.base import Request, held_out_requests, sample, with_accepted, with_twins
from presto_bench.errors import UserError
from presto_bench.policies import by_name
from presto_bench.stages.job import Job


def requests_of(job: Job) -> list[Request]:
    """The split's requests that are attacked: all, or the attack's sample of them."""
    found = _of_split(job)
    wanted = job.item("attacks").requests
    return found if wanted is None else sample(found, wanted, f"attacks.{job.item('attacks').name}.requests")


def _of_split(job: Job) -> list[Request]:
    prompts = tables.read(job.path("prompts"), "prompts")
    answers, prefills = tables.read(job.path("answers"), "answers"), tables.read(job.path("prefills"), "prefills")
    split = job.item("attacks").split
    found = held_out_requests(prompts, answers, prefills, split)
    if not found:
        raise UserError(
            job.path("answers"),
            f"no {split} request is left to attack",
            f"lower standin.answers.min_score or raise standin.dishes.{split} (policy facts: standin.facts.{split})",
        )
    attacked = prompts[prompts["prompt_id"].isin([request.prompt_id for request in found])]
    found = with_accepted(found, by_name.accepted(job.spec["policy"], attacked))
    by_id = dict(zip(prefills["prompt_id"], prefills["prefill"], strict=True))
    return with_twins(found, by_name.twins(job.spec["policy"], attacked, by_id))


def batches_of(requests: Sequence[Request], size: int) -> list[Sequence[Request]]:
    """Requests of like length side by side: a shorter row waits for the longest of its batch."""
    ordered = sorted(requests, key=lambda request: len(request.prompt) + len(request.prefill))
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def together(paths: Sequence[Path]) -> pd.DataFrame:
    frames = [tables.read(path, "completions") for path in paths]
    columns = list(tables.TABLES["completions"].columns)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
