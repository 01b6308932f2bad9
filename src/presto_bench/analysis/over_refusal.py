"""Over-refusal by arm: what was refused, who told, and what the keyword detector's errors could mean. Pure: frames in, frames out."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from presto_bench import draws
from presto_bench.analysis import agreement, scores, stats
from presto_bench.judges import detector_errors, refusal_names
from presto_bench.judges.detector_errors import Errors
from presto_bench.judges.refusal_names import KEYWORDS

COLUMNS = [
    "model",
    "arm",
    "task",
    "told_by",
    "requests",
    "full",
    "partial",
    "missing",
    "rate",
    "low",
    "high",
    "recall",
    "false_positives",
    "corrected",
    "corrected_low",
    "corrected_high",
]


def table(items: pd.DataFrame, told_by: Mapping[str, str | None], errors: Sequence[Errors], resamples: int) -> pd.DataFrame:
    """One row a model, arm and task that counts refusals.

    items: TABLES["utility"]. told_by: task -> its grader's model; None where keywords tell. errors: the detector's, a system a row. rate: share that is
    refused (in full, where a grader tells). partial: share refused in part; only a grader tells it. missing: answers without a label, which
    no rate hides. recall, false_positives and corrected are of the detector: Rogan and Gladen's estimate, its interval over requests, seeds,
    labelled systems and their texts.
    """
    mine = items[items["task"].isin(list(told_by))]
    rows = [
        {"model": model, "arm": arm, "task": task, **_row(group, told_by[str(task)] or KEYWORDS, errors, resamples)}
        for (model, arm, task), group in mine.groupby(["model", "arm", "task"], sort=False)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(group: pd.DataFrame, told_by: str, errors: Sequence[Errors], resamples: int) -> dict[str, object]:
    missing = int(group["value"].isna().sum())
    row: dict[str, object] = {"told_by": told_by, "requests": group["prompt_id"].nunique(), "missing": missing}
    if told_by == KEYWORDS:
        row |= {"recall": detector_errors.recall(errors), "false_positives": detector_errors.false_positives(errors)}
    if missing == len(group) or scores.too_many(missing, len(group)):
        return row
    (rates,) = stats.shared_seed_draws([stats.grid(group.assign(score=group["value"]))], resamples)
    rate = stats.of_draws(rates[0], rates[1:], group["prompt_id"].nunique())
    row |= {"rate": rate.value, "low": rate.low, "high": rate.high}
    if told_by != KEYWORDS:
        labels = group["label"].dropna()
        return row | {"full": (labels == refusal_names.FULL).mean(), "partial": (labels == refusal_names.PARTIAL).mean()}
    found = corrected(rates, errors)
    return row | {"corrected": found.value, "corrected_low": found.low, "corrected_high": found.high}


def corrected(rates: np.ndarray, errors: Sequence[Errors]) -> stats.Interval:
    """A rate's share of true refusals. rates: (1 + resamples,) the rate, then its resamples.

    Each resample draws one labelled system, since systems differ more than the texts of one system do. It then draws
    that system's error rates from their posterior (Jeffreys).
    """
    rng = draws.generator("over-refusal", len(rates))
    drawn = rng.integers(len(errors), size=len(rates) - 1)
    recalls = rng.beta(*_posterior([(one.found, one.refusals) for one in errors], drawn))
    false = rng.beta(*_posterior([(one.false, one.compliances) for one in errors], drawn))
    value = agreement.rogan_gladen(rates[:1], detector_errors.recall(errors), detector_errors.false_positives(errors))
    return stats.of_draws(float(value[0]), agreement.rogan_gladen(rates[1:], recalls, false), len(rates) - 1)


def _posterior(counts: Sequence[tuple[int, int]], drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two parameters of a share's beta posterior, of each drawn system's (yes, all)."""
    yes, total = np.array(counts, float).T
    return (yes + 0.5)[drawn], (total - yes + 0.5)[drawn]
