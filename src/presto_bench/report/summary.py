"""summary.json, and the headline sentence that follows from it."""

import math
from typing import Any

import pandas as pd

from presto_bench.analysis.check_names import AGREES, LOSS_RATIO
from presto_bench.analysis.checks import LOSS_MATCH


def build(
    scores: pd.DataFrame, compared: pd.DataFrame, checks: pd.DataFrame, ranks: pd.DataFrame, utility: pd.DataFrame, judge: str
) -> dict[str, Any]:
    """scores, differences, ratios, checks, ranks, utility. An attack is represented by its first variant."""
    first = scores.drop_duplicates(["model", "arm", "attack", "judge"])
    headline = compared[compared["judge"] == judge].drop_duplicates(["model", "attack"])
    return {
        "scores": _nested(first, ["model", "arm", "attack", "judge"], ["mean", "low", "high", "n", "missing"]),
        "differences": _nested(headline, ["model", "attack"], ["value", "low", "high", "n", "judge"]),
        "ratios": _ratios(headline),
        "checks": _nested(checks, ["model", "name"], ["value", "bar", "ok"]),
        "ranks": _nested(ranks, ["model", "arm", "role"], ["in_top20", "median_rank", "reach20", "kl_first", "overlap20"]),
        "utility": _nested(utility, ["model", "arm", "task"], ["mean", "low", "high", "n"]),
    }


def headline(summary: dict[str, Any], model: str, attack: str, reference: str, treated: str) -> str:
    """One sentence: the paired difference, or which checks fail."""
    checks = _of_both(summary["checks"].get(model, {}), reference, treated)
    failed = [name for name, check in checks.items() if check["ok"] is False]
    unmeasured = [name for name, check in checks.items() if check["ok"] is None and not name.endswith(LOSS_RATIO)]
    found = summary["differences"].get(model, {}).get(attack)
    if found is None or found["value"] is None:
        return f"{model}: no comparison of {reference} with {treated} under {attack} in this experiment."
    effect = (
        f"{model}, {attack}: mean score of {reference} minus {treated} = {found['value']:+.3f} "
        f"[{found['low']:+.3f}, {found['high']:+.3f}], {found['n']} held-out requests, judge {found['judge']}"
        f"{_drift(checks, reference, treated)}"
    )
    if failed or unmeasured:
        why = [
            *(["failed: " + ", ".join(failed)] if failed else []),
            *(["not measured: " + ", ".join(unmeasured)] if unmeasured else []),
        ]
        return f"Not established ({'; '.join(why)}). Measured all the same: {effect}."
    if found["low"] > 0:
        return f"{treated} is safer than {reference}. {effect}."
    if found["high"] < 0:
        return f"{treated} is less safe than {reference}. {effect}."
    return f"No difference shown between {reference} and {treated}. {effect}."


def _of_both(checks: dict[str, Any], reference: str, treated: str) -> dict[str, Any]:
    """Without what says how well the judge reads other arms: it bears on their scores alone, as in claims.py."""
    read = {f"{AGREES}{arm}" for arm in (reference, treated)}
    return {name: check for name, check in checks.items() if not name.startswith(AGREES) or name in read}


def _drift(checks: dict[str, Any], *arms: str) -> str:
    """What to add where an arm's held-out loss is not comparable with the base's."""
    ratios = {arm: (checks.get(f"{arm}{LOSS_RATIO}") or {}).get("value") for arm in arms}
    drifted = [
        f"{arm} {ratio:.2f}x"
        for arm, ratio in ratios.items()
        if ratio is not None and not 1 / LOSS_MATCH <= ratio <= LOSS_MATCH
    ]
    return f"; held-out loss against base: {', '.join(drifted)}, so part of it may be damage" if drifted else ""


def _ratios(frame: pd.DataFrame) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for row in frame.itertuples():
        cell = (
            {"value": None, "reason": row.ratio_reason}
            if isinstance(row.ratio_reason, str)  # pandas turns the others' None into NaN
            else {
                "value": _plain(row.ratio_value),
                "low": _plain(row.ratio_low),
                "high": _plain(row.ratio_high),
                "n": int(row.n),
                "judge": row.judge,
            }
        )
        nested.setdefault(row.model, {})[row.attack] = cell
    return nested


def _nested(frame: pd.DataFrame, keys: list[str], values: list[str]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for row in frame.to_dict("records"):
        place = nested
        for key in keys[:-1]:
            place = place.setdefault(row[key], {})
        place[row[keys[-1]]] = {value: _plain(row[value]) for value in values}
    return nested


def _plain(value: Any) -> Any:
    """A JSON value; what is not a number is null, never NaN."""
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if hasattr(value, "item"):
        return _plain(value.item())
    return round(value, 6) if isinstance(value, float) else value
