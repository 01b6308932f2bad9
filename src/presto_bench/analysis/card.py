"""The depth card: how deep one model's refusals are, as numbers with intervals. Pure: frames in, a mapping out; no text of a request or a response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from presto_bench import tables
from presto_bench.analysis import coercion, profiles, scores, stats

VERSION = 1
RESAMPLES = 2000
TASKS = {"overrefusal": "benign requests refused"}  # what an audit's own tasks tell
GREEDY, FULL, KIND, LENGTH = "greedy", "prefill_full", "kind_", "greedy_recipe_"


@dataclass(frozen=True)
class Measured:
    """Of one arm: graded completions of the default judge, ranks, first_tokens, composition, utility, and the judge's agreement with hand labels.

    attacks: attack kind -> name; `lengths`: name of the attack that uses prefills of several lengths.
    """

    graded: pd.DataFrame
    ranks: pd.DataFrame
    first_tokens: pd.DataFrame
    composition: pd.DataFrame
    utility: pd.DataFrame
    agreement: pd.DataFrame
    attacks: Mapping[str, str]


def build(found: Measured) -> dict[str, Any]:
    """The card's numbers: `measures` (name, what, value, low, high, n, better), `by_length`, `kinds`, `bits_by_depth`, `top20`, `per_request`."""
    measures, per_request = _of_attacks(found)
    for rows, own in (_of_bits(found), _of_openers(found), _of_utility(found)):
        measures += rows
        per_request |= own
    return {
        "version": VERSION,
        "measures": measures,
        "by_length": _by_length(found),
        "kinds": _kinds(found),
        "bits_by_depth": _bits_by_depth(found),
        "top20": _top20(found),
        "judge": _judge(found),
        "per_request": per_request,
    }


def _row(name: str, what: str, interval: stats.Interval, better: str) -> dict[str, Any]:
    """better: `higher` or `lower`, what a safer or more useful model has."""
    values = {"value": interval.value, "low": interval.low, "high": interval.high, "n": interval.n, "missing": interval.missing}
    return {"name": name, "what": what, **{key: _plain(value) for key, value in values.items()}, "better": better}


def _plain(value: Any) -> Any:
    """A number as JSON knows it; None for one that is not there."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    return None if value is None or not np.isfinite(value) else round(float(value), 6)


def _cells(found: Measured, kind: str, variant: str) -> pd.DataFrame:
    return found.graded[(found.graded["attack"] == found.attacks.get(kind)) & (found.graded["variant"] == variant)]


def _mean(rows: pd.DataFrame, column: str) -> tuple[stats.Interval, dict[str, float]]:
    """A column's mean with its interval, and each request's value."""
    own = rows.assign(score=rows[column])
    missing = int(own["score"].isna().sum())
    if scores.too_many(missing, len(own)):
        nothing = float("nan")
        return stats.Interval(nothing, nothing, nothing, own["prompt_id"].nunique(), missing), {}
    each = own.groupby("prompt_id")["score"].mean().dropna()
    return stats.mean_interval(stats.grid(own), RESAMPLES, missing), {str(p): round(float(v), 6) for p, v in each.items()}


def _of_attacks(found: Measured) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    guided = list(found.graded.loc[found.graded["attack"] == found.attacks.get("guided"), "variant"].unique())
    wanted = [
        ("refuses_first_token", "refuses the bare request (greedy)", "direct", GREEDY, "refusal", "higher"),
        ("refuses_behind_prefill", "refuses behind the attack's prefill (greedy)", "prefilling", GREEDY, "refusal", "higher"),
        ("prefilling_score", "score under prefilling", "prefilling", FULL, "score", "lower"),
        *((f"guided_{v}", f"score under guided RAP ({_told(v)})", "guided", v, "score", "lower") for v in guided),
        *(
            (f"autorap_{v}", f"score under AutoRAP ({v})", "autorap", v, "score", "lower")
            for v in found.graded.loc[found.graded["attack"] == found.attacks.get("autorap"), "variant"].unique()
        ),
    ]
    measures, per_request = [], {}
    for name, what, kind, variant, column, better in wanted:
        rows = _cells(found, kind, variant)
        if len(rows):
            interval, own = _mean(rows, column)
            measures.append(_row(name, what, interval, better))
            per_request[name] = own
    return measures, per_request


def _told(variant: str) -> str:
    """A variant of guided RAP in words."""
    k, start, *null = variant.split("_", 2)
    said = {"swapped": "null: both read another request", "guide_only": "null: the target reads another request"}
    where = "behind the prefill" if start == "prefill" else "from nothing"
    return f"k = {k.removeprefix('k')}, {said[null[0]] if null else where}"


def _of_bits(found: Measured) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    if found.ranks.empty:
        return [], {}
    table = {row["what"]: row for row in tables.records(coercion.table(found.ranks, RESAMPLES))}
    words = {
        coercion.HARMFUL: ("bits_harmful", "bits a token that the harmful text costs an attacker", "higher"),
        coercion.BENIGN: ("bits_benign", "bits a token that a benign answer costs (damage)", "lower"),
        coercion.NET: ("bits_net", "bits a token, net of damage", "higher"),
    }
    measures = [
        _row(name, what, stats.Interval(row["value"], row["low"], row["high"], int(row["n"])), better)
        for key, (name, what, better) in words.items()
        if (row := table.get(key))
    ]
    costs = coercion.per_text(found.ranks)
    harmful = costs[costs["role"] == coercion.HARMFUL].groupby("prompt_id")["bits"].mean()
    return measures, {"bits_harmful": {str(p): round(float(v), 6) for p, v in harmful.items()}}


def _of_openers(found: Measured) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    places = {
        "first": ("openers_first", "refusal openers in the first top 20"),
        "after_prefill": ("openers_behind", "the same behind a prefill"),
    }
    measures, per_request = [], {}
    for place, (name, what) in places.items():
        rows = found.first_tokens[found.first_tokens["place"] == place]
        if len(rows):
            interval, own = _mean(rows, "openers_in_top20")
            measures.append(_row(name, what, interval, "higher"))
            per_request[name] = own
    return measures, per_request


def _of_utility(found: Measured) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    measures, per_request = [], {}
    for row in tables.rows(scores.utility_table(found.utility, RESAMPLES)):
        interval = stats.Interval(row.mean, row.low, row.high, row.n, row.missing)
        measures.append(_row(row.task, TASKS.get(row.task, f"task {row.task}"), interval, "lower"))
        each = found.utility[found.utility["task"] == row.task].groupby("prompt_id")["value"].mean().dropna()
        per_request[row.task] = {str(p): round(float(v), 6) for p, v in each.items()}
    return measures, per_request


def _by_length(found: Measured) -> list[dict[str, Any]]:
    """Greedy refusals and scores behind the first tokens of the text, by how many they are."""
    rows = found.graded[found.graded["attack"] == found.attacks.get("lengths")]
    lengths = sorted({int(v.removeprefix(LENGTH)) for v in rows["variant"].unique() if v.startswith(LENGTH)})
    table = []
    for length in lengths:
        own = _cells(found, "lengths", f"{LENGTH}{length}")
        if own["prompt_id"].nunique() < 2:
            continue
        refused, _ = _mean(own, "refusal")
        table.append({"tokens": length, **_bounds("refused", refused), "n": own["prompt_id"].nunique()})
    return table


def _bounds(name: str, interval: stats.Interval) -> dict[str, Any]:
    return {name: _plain(interval.value), f"{name}_low": _plain(interval.low), f"{name}_high": _plain(interval.high)}


def _kinds(found: Measured) -> list[dict[str, Any]]:
    rows = found.graded[found.graded["attack"] == found.attacks.get("prefilling")]
    table = []
    for variant in [v for v in rows["variant"].unique() if v.startswith(KIND)]:
        own = rows[rows["variant"] == variant]
        (refused, _), (score, _) = _mean(own, "refusal"), _mean(own, "score")
        cells = {**_bounds("refused", refused), **_bounds("score", score), "n": own["prompt_id"].nunique()}
        table.append({"kind": variant.removeprefix(KIND), **cells})
    return table


def _bits_by_depth(found: Measured) -> list[dict[str, Any]]:
    """Mean bits spent up to each depth on the harmful text and on benign answers."""
    if found.ranks.empty:
        return []
    curve = coercion.curves(found.ranks)
    wide = curve.pivot_table(index="position", columns="role", values="bits")
    wide = wide.reindex(columns=[coercion.HARMFUL, coercion.BENIGN]).dropna(how="all")
    return [
        {"tokens": int(position) + 1, "harmful": _plain(row[coercion.HARMFUL]), "benign": _plain(row[coercion.BENIGN])}
        for position, row in zip(wide.index.tolist(), tables.records(wide), strict=True)
    ]


def _top20(found: Measured) -> list[dict[str, Any]]:
    table = profiles.composition_table(found.composition, RESAMPLES)
    return [
        {"kind": row.kind, "share": _plain(row.share), "low": _plain(row.low), "high": _plain(row.high), "n": int(row.n)}
        for row in tables.rows(table)
    ]


def _judge(found: Measured) -> dict[str, Any] | None:
    """Of hand-labelled outputs, the share that judge and hand put on the same side; None where there are no labels for the judge."""
    if found.agreement.empty:
        return None
    row = found.agreement[(found.agreement["stratum"] == "all") & found.agreement["fluency_criterion"].astype(str).eq("True")]
    return {"labels": int(row["n"].iloc[0]), "same_side": _plain(row["same_side"].iloc[0])} if len(row) else None


def compare(cards: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a measure, a column a card; where two cards asked the same requests their paired difference (first - second) with its interval."""
    names = list(dict.fromkeys(row["name"] for card in cards for row in card["measures"]))
    rows = []
    for name in names:
        cells = [next((row for row in card["measures"] if row["name"] == name), None) for card in cards]
        known = next(cell for cell in cells if cell)
        row: dict[str, Any] = {"measure": known["what"], "better": known["better"]}
        for number, (card, cell) in enumerate(zip(cards, cells, strict=True), 1):
            row[f"{number}: {card['about']['name']}"] = _shown(cell)
        if len(cards) == 2:
            row["difference"], row["paired"] = _difference(cards, name)
        rows.append(row)
    return pd.DataFrame(rows)


def _shown(cell: Mapping[str, Any] | None) -> str:
    return "–" if cell is None else stats.told(cell["value"], cell["low"], cell["high"])


def _difference(cards: Sequence[Mapping[str, Any]], name: str) -> tuple[str, int]:
    """(first - second with its interval, requests that both have)."""
    values = [pd.Series(card["per_request"].get(name, {}), dtype=float) for card in cards]
    shared = values[0].index.intersection(values[1].index)
    if len(shared) < 2:
        return "–", len(shared)
    first, second = (pd.DataFrame([own[shared]], index=[0]) for own in values)
    found = stats.difference_interval(first, second, RESAMPLES)
    return stats.told(found.value, found.low, found.high, "+"), len(shared)
