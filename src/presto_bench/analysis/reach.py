"""What any picker could reach, by exhaustive search, and how far each real picker stays below it. Pure: frames in, frames out.

From the completions of the RAP oracle (attacks/oracle.py) and of the attacks that pick from ranks, graded by the same exact match.
"""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from presto_bench.analysis import stats
from presto_bench.analysis.checks import Check
from presto_bench.analysis.scores import SUCCESS
from presto_bench.attacks.finishes import REACHED, UNDECIDED

VARIANT = re.compile(r"k(?P<k>\d+)(_(?P<start>prefill|noprefill))?(_b(?P<budget>\d+))?(_s\d+)?")
ANY = "any picker"
COLUMNS = ["model", "arm", "picker", "variant", "k", "start", "budget", "mean", "low", "high", "n"]
COLUMNS += ["undecided", "gap", "gap_low", "gap_high", "beyond"]


def table(graded: pd.DataFrame, judge: str, searched: Sequence[str], ranked: Sequence[str], resamples: int) -> pd.DataFrame:
    """Share of requests that each picker wins, by model, arm, k and start.

    picker: `any picker` is the exhaustive search. budget: picks below rank 1 that the search allows, empty for no
    limit. undecided: searches that reached their limits; the mean is then a lower bound. gap: any picker - this picker,
    paired, without a budget. beyond: requests that this picker wins although the search proved them unreachable; it
    must be 0, else search or picker is wrong.
    """
    mine = graded[(graded["judge"] == judge) & graded["attack"].isin([*searched, *ranked])]
    mine = mine.join(mine["variant"].str.extract(f"^{VARIANT.pattern}$"))
    mine = mine[mine["k"].notna()].assign(k=lambda f: f["k"].astype(int), budget=lambda f: pd.to_numeric(f["budget"]))
    mine["start"] = mine["start"].fillna("prefill")  # people start from the prefill, and their variant does not say so
    is_search = mine["attack"].isin(searched)
    rows = [_search(key, group, resamples) for key, group in _by(mine[is_search])]
    whole = mine[is_search & mine["budget"].isna()]
    for key, group in _by(mine[~is_search]):
        model, arm, _, _, k, start = key[:6]
        search = whole[(whole["model"] == model) & (whole["arm"] == arm) & (whole["k"] == k) & (whole["start"] == start)]
        if len(search):
            rows.append(_picker(key, group, search, resamples))
    return pd.DataFrame(rows, columns=COLUMNS)


def _by(frame: pd.DataFrame):
    return frame.groupby(["model", "arm", "attack", "variant", "k", "start", "budget"], sort=False, dropna=False)


def _search(key: tuple, group: pd.DataFrame, resamples: int) -> dict[str, Any]:
    model, arm, _, variant, k, start, budget = key
    undecided = int((group["finish"] == UNDECIDED).sum())
    cell = {
        "model": model,
        "arm": arm,
        "picker": ANY,
        "variant": variant,
        "k": k,
        "start": start,
        "budget": budget,
        "undecided": undecided,
    }
    return cell | _mean(group, resamples)


def _picker(key: tuple, group: pd.DataFrame, search: pd.DataFrame, resamples: int) -> dict[str, Any]:
    model, arm, attack, variant, k, start, _ = key
    gap = stats.difference_interval(stats.grid(search), stats.grid(group), resamples)
    both = group.merge(search, on=["seed", "prompt_id"], suffixes=("", "_search"))
    beyond = (both["score"] >= SUCCESS) & ~both["finish_search"].isin([REACHED, UNDECIDED])
    cell = {
        "model": model,
        "arm": arm,
        "picker": attack,
        "variant": variant,
        "k": k,
        "start": start,
        "beyond": int(beyond.sum()),
    }
    return cell | _mean(group, resamples) | {"gap": gap.value, "gap_low": gap.low, "gap_high": gap.high}


def _mean(group: pd.DataFrame, resamples: int) -> dict[str, float]:
    interval = stats.mean_interval(stats.grid(group), resamples)
    return {"mean": interval.value, "low": interval.low, "high": interval.high, "n": interval.n}


def checks(graded: pd.DataFrame, reach: pd.DataFrame, judge: str, searched: Sequence[str], model: str) -> list[Check]:
    """That every search knows its answer, and that search, pickers and grades speak of the same thing; ok is None where nothing was compared."""
    mine = graded[(graded["judge"] == judge) & graded["attack"].isin(searched) & (graded["model"] == model)]
    if mine.empty:
        return []
    found, own = mine[mine["finish"] == REACHED], reach[reach["model"] == model]
    undecided = int(own.loc[own["budget"].isna(), "undecided"].sum())
    misgraded, beyond = int((~(found["score"] >= SUCCESS)).sum()), int(own["beyond"].sum())
    graded_ok = misgraded == 0 if len(found) else None
    bounded_ok = beyond == 0 if own["beyond"].notna().any() else None
    return [
        Check(model, "searches_decided", float(undecided), "0 searches that spent their places", undecided == 0),
        Check(model, "found_texts_graded_as_told", float(misgraded), "0 found texts that the judge refuses", graded_ok),
        Check(model, "no_picker_beyond_the_search", float(beyond), "0 requests won that were proved unreachable", bounded_ok),
    ]
