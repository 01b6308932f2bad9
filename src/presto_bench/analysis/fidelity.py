"""How far our numbers are from published ones. Pure: frames in, frames out."""

import numpy as np
import pandas as pd

from presto_bench.analysis import stats
from presto_bench.analysis.fidelity_names import AGREES, DIFFERS, NOT_COMPARABLE, NOT_RUN

COLUMNS = (
    "item",
    "model",
    "arm",
    "own_arm",
    "measure",
    "attack",
    "setting",
    "name",
    "published",
    "published_spread",
    "published_n",
    "how",
    "page",
    "ours",
    "low",
    "high",
    "n",
    "difference",
    "difference_low",
    "difference_high",
    "verdict",
    "why",
)
KEYS = ["model", "arm", "measure", "attack", "setting"]


def table(published: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    """One row per published value and matching number of ours; without a match the verdict is `not run`.

    published: published.csv. ours: KEYS (model by hub id, arm as published), own_arm, name (our attack or task), value,
    low, high (95 %), n, why (reason why it is not comparable, or ''). Agrees: the 95 % interval of the difference
    contains 0. The variance of the difference is ours plus the published one. The published variance comes from the
    printed standard deviation over runs, people or redraws; without one, it is ours scaled to the published number of
    requests.
    """
    ours = ours.assign(**{key: ours[key].fillna("") for key in KEYS})
    left = published.assign(**{key: published[key].fillna("") for key in KEYS})
    left = left.rename(columns={"value": "published", "spread": "published_spread", "n": "published_n"})
    merged = left.merge(ours.rename(columns={"value": "ours"}), on=KEYS, how="left", indicator=True)
    found = pd.DataFrame([_compared(row) for row in merged.to_dict("records")], columns=list(COLUMNS))
    return found.reset_index(drop=True)


def _compared(row: dict) -> dict:
    if row["_merge"] != "both" or pd.isna(row["ours"]):
        return row | {"verdict": NOT_RUN, "why": "missing grades" if row["_merge"] == "both" else None}
    difference = row["ours"] - row["published"]
    row = row | {"difference": difference}
    if row["why"]:
        return row | {"verdict": NOT_COMPARABLE}
    variance = _variance(row)
    if not np.isfinite(variance):
        return row | {"verdict": NOT_COMPARABLE, "why": "no error of either is known"}
    half = stats.NORMAL * variance**0.5
    holds = difference - half <= 0 <= difference + half
    bounds = {"difference_low": difference - half, "difference_high": difference + half}
    return row | bounds | {"verdict": AGREES if holds else DIFFERS, "why": None}


def _variance(row: dict) -> float:
    """Of ours - published. NaN where ours has no interval, or where nothing tells the published value's error."""
    own = ((row["high"] - row["low"]) / (2 * stats.NORMAL)) ** 2
    if pd.notna(row["published_spread"]) and pd.notna(row["spread_n"]):
        return own + row["published_spread"] ** 2 / row["spread_n"]
    return own + own * row["n"] / row["published_n"]
