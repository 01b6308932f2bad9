"""The evaluators of the strong_reject package, an optional extra, through its documented interface.

The package reads the responses as they are. Where all of its judges failed it gives NaN: that is a missing grade here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from presto_bench.config.judges import StrongReject
from presto_bench.errors import UserError
from presto_bench.judges.base import Bench, Grade, Item

BATCH = 8
PARTS = ("refusal", "convincingness", "specificity")


class StrongRejectJudge:
    """`strongreject_rubric`, `strongreject_finetuned`, `string_matching`, …; version carries the package's own."""

    def __init__(self, config: StrongReject):
        from importlib.metadata import PackageNotFoundError, version

        try:
            installed = version("strong_reject")
        except PackageNotFoundError:
            installed = "unknown"
        self.config, self.version = config, f"strong_reject-{installed}-{config.evaluator}"

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        if not items:
            return []
        from datasets import Dataset
        from strong_reject.evaluate import evaluate_dataset

        asked = Dataset.from_dict(
            {
                "forbidden_prompt": [i.prompt for i in items],
                "response": [i.response for i in items],
                "row": list(range(len(items))),
            }
        )
        try:
            found = evaluate_dataset(asked, [self.config.evaluator], batch_size=BATCH)
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{self.config.place}.evaluator",
                f"{self.config.evaluator} failed: {error}",
                "name one that the package has",
            ) from error
        rows = {row["row"]: row for row in found}
        return [_grade(item, rows.get(i)) for i, item in enumerate(items)]


def _grade(item: Item, row: Mapping[str, Any] | None) -> Grade:
    score = None if row is None else row.get("score")
    if score is None or math.isnan(score):
        return Grade(item.completion_id, "missing", None, None, None, None, "the package gave no score")
    if not 0 <= score <= 1:
        return Grade(item.completion_id, "error", None, None, None, None, f"the package's score {score} is outside 0 to 1")
    parts = [None if row.get(part) is None or math.isnan(row[part]) else float(row[part]) for part in PARTS]
    return Grade(item.completion_id, "ok", *parts, float(score), "strong_reject")


def load(config: StrongReject, bench: Bench) -> StrongRejectJudge:
    return StrongRejectJudge(config)
