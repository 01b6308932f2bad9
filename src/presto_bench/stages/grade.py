"""grades/<judge>/<attack>/<model>/<arm>/seed<n>.parquet: one judge's grades of one attack's completions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from presto_bench import registry, tables
from presto_bench.errors import UserError
from presto_bench.fingerprint import content_hash
from presto_bench.judges.base import REFUSED, Bench, Grade, Item
from presto_bench.lm import precision
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    completions = tables.read(job.path("completions"), "completions")
    prompts = tables.read(job.path("prompts"), "prompts")
    tables.write(job.path("grades"), "grades", grade(job, items(completions, prompts)))


def items(completions: pd.DataFrame, prompts: pd.DataFrame) -> list[Item]:
    """What the judge sees: the request that was meant (also where the model saw its swapped twin) and the response."""
    joined = completions.merge(prompts, on="prompt_id", validate="many_to_one")
    return [Item(r.completion_id, r.prompt, r.category, r.prefill, r.response) for r in joined.itertuples()]


@dataclass(frozen=True)
class UntouchedLikelihoods:
    """Likelihoods under the untouched model, which is loaded only when a judge asks."""

    job: Job

    @property
    def identity(self) -> str:
        return f"{content_hash(self.job.path('untouched'))}-{precision.resolve(self.job.model.decode_dtype)}"

    def __call__(self, wanted: Sequence[Item]) -> list[float]:
        # Here, for most gradings never come to it: refusals score 0 without it, and judges elsewhere do not ask.
        from presto_bench.judges import fluency
        from presto_bench.lm import models

        model, tokenizer = models.load(self.job.path("untouched"), self.job.model.decode_dtype)
        return fluency.mean_log_likelihoods(model, tokenizer, self.job.chat_format, wanted)


def grade(job: Job, todo: list[Item]) -> pd.DataFrame:
    """The table `grades`."""
    config = job.whole_item("judges")
    bench = Bench(
        UntouchedLikelihoods(job),
        Path(job.settings["reply_store"]),
        job.path("template") if "template" in job.input else None,
        job.path("weights") if "weights" in job.input else None,
    )
    judge = registry.runner(config)(config, bench)
    grades = judge.grade(todo)
    if not config.is_control:  # of responses without a token of the model's own a control says nothing, and rightly
        _require_some(config.name, grades)
    rows = [{**asdict(g), "judge": config.name, "judge_version": judge.version} for g in grades]
    return pd.DataFrame(rows, columns=list(tables.TABLES["grades"].columns))


def _require_some(judge: str, grades: Sequence[Grade]) -> None:
    """Raises an error if an endpoint failed and not one completion was graded.

    Replies that came and cannot be read, and texts that were refused one by one, are missing grades, and every table says how many.
    """
    failed = (grade.reason.split(" (reply ")[0] for grade in grades if grade.status == "error")
    errors = [reason for reason in failed if not reason.startswith(REFUSED)]
    if not errors or any(grade.status == "ok" for grade in grades):
        return
    reason, count = Counter(errors).most_common(1)[0]
    raise UserError(
        f"judges.{judge}",
        f"none of {len(grades)} completions was graded; {count} times: {reason}",
        "see to the judge, then run snakemake again: replies so far are kept",
    )
