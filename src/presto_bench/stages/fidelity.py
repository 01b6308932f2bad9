"""tables/fidelity.csv: each published value beside ours, with what can be said of the difference; and the published values as a table."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from presto_bench import tables
from presto_bench.analysis import fidelity, stats
from presto_bench.report import published
from presto_bench.stages.job import Job

HEX_PHI = "hex_phi"
OTHER_PREFILLS = (
    "behind the first tokens of this experiment's prefills; published: HEx-PHI answers, cut anywhere in their first 100 tokens"
)


def make(job: Job) -> None:
    ours = pd.DataFrame(list(_ours(job)), columns=[*fidelity.KEYS, "own_arm", "name", "value", "low", "high", "n", "why"])
    values = published.values(job.path("values"))
    tables.write_three(job.path("fidelity").with_suffix(""), fidelity.table(values, ours))
    tables.write_three(job.path("published").with_suffix(""), values)


def _ours(job: Job) -> Iterator[dict[str, Any]]:
    """Our numbers as published ones are named; of models that are known by their hub id."""
    frames = {
        name: tables.read_csv(job.path(name))
        for name in ("scores", "utility", "helpers", "refusal_tokens", "first_entropy", "human_times")
    }
    for model, hub_id in job.spec["hub"].items():
        for own_arm, role in job.spec["roles"][model].items():
            for wanted in job.spec["measured"]:
                cell = _cell(frames, wanted, model, own_arm, job.spec["judge"])
                if cell is None:
                    continue
                why = "; ".join(part for part in (wanted["why"], job.spec["own_arms"][model].get(own_arm, "")) if part)
                yield {**wanted, "model": hub_id, "arm": role, "own_arm": own_arm, **cell, "why": why}
            yield from _entropies(frames["first_entropy"], model, hub_id, own_arm, role, job.spec["entropies"])
        yield from _ratios(tables.read_csv(job.path("comparisons")), job, model, hub_id)


def _cell(frames: dict[str, pd.DataFrame], wanted: dict[str, Any], model: str, arm: str, judge: str) -> dict[str, Any] | None:
    """value, low, high, n of one number; None where it was not measured."""
    graded = {"attack": wanted["name"], "variant": wanted["variant"], "judge": judge}
    match wanted["measure"]:
        case "score":
            return _found(frames["scores"], "mean", model=model, arm=arm, **graded)
        case "seconds_per_token":
            return _found(frames["human_times"], "mean", model=model, arm=arm, attack=wanted["name"], level="all")
        case "helper_accuracy":
            return _found(_with_errors(frames["helpers"]), "accuracy", model=model, target=f"{arm}/seed0", kind="all")
        case "refusal_tokens":
            return _counted(frames["refusal_tokens"], model, arm)
        case _:
            return _found(frames["utility"], "mean", model=model, arm=arm, task=wanted["name"])


def _found(frame: pd.DataFrame, column: str, **where: str) -> dict[str, Any] | None:
    for key, value in where.items():
        frame = frame[frame[key] == value]
    return None if frame.empty else {"value": frame[column].iloc[0], **frame.iloc[0][["low", "high", "n"]].to_dict()}


def _with_errors(helpers: pd.DataFrame) -> pd.DataFrame:
    """The mean accuracy's interval over redraws of the lessons, as the paper's standard deviation is over them."""
    half = stats.NORMAL * helpers["spread"] / helpers["redraws"] ** 0.5
    return helpers.assign(low=helpers["accuracy"] - half, high=helpers["accuracy"] + half)


def _counted(tokens: pd.DataFrame, model: str, arm: str) -> dict[str, Any] | None:
    """How many candidates the training requests share. A count has no error of its own."""
    own = tokens[(tokens["model"] == model) & (tokens["arm"] == arm) & (tokens["split"] == "train")]
    own = own[own["seed"] == own["seed"].min()]
    return {"value": float(len(own)), "low": None, "high": None, "n": None} if len(own) else None


def _entropies(
    frame: pd.DataFrame, model: str, hub_id: str, own_arm: str, role: str, source: str | None
) -> Iterator[dict[str, Any]]:
    """Quartiles of the next token's entropy. source: of the requests and prefills; without one they are our own, which are others than the paper's."""
    rows = frame[(frame["model"] == model) & (frame["arm"] == own_arm)]
    for row in rows.to_dict("records"):
        for measure in ("entropy_median", "entropy_third_quartile", "entropy_whisker"):
            yield {
                "model": hub_id,
                "arm": role,
                "measure": measure,
                "attack": "",
                "setting": row["place"],
                "own_arm": own_arm,
                "name": "",
                "value": row[measure],
                "low": None,
                "high": None,
                "n": row["n"],
                "why": "" if source == HEX_PHI else OTHER_PREFILLS,
            }


def _ratios(comparisons: pd.DataFrame, job: Job, model: str, hub_id: str) -> Iterator[dict[str, Any]]:
    """DA's score over DA + PRESTO's, where both are the headline's arms."""
    if job.spec["headline"] != ["da", "da_presto"]:
        return
    for wanted in job.spec["measured"]:
        mine = comparisons[
            (comparisons["model"] == model)
            & (comparisons["attack"] == wanted["name"])
            & (comparisons["variant"] == wanted["variant"])
            & (comparisons["judge"] == job.spec["judge"])
        ]
        if wanted["measure"] != "score" or mine.empty:
            continue
        row = mine.iloc[0]
        why = "; ".join(part for part in (wanted["why"], job.spec["own_arms"][model].get("da", "")) if part)
        cell = {"why": why, "value": row["ratio_value"], "low": row["ratio_low"], "high": row["ratio_high"], "n": row["n"]}
        yield {**wanted, "measure": "ratio", "model": hub_id, "arm": "da / da_presto", "own_arm": "da / da_presto", **cell}
