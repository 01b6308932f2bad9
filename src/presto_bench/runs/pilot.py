"""A small run of a large experiment: one model, few requests, few steps, so that its costs are measured before three days of a cluster are spent."""

from typing import Any

from presto_bench.config.parts import OWN
from presto_bench.config.reading import inherit
from presto_bench.errors import UserError

REQUESTS, STEPS = 16, 4
SUFFIX = "_pilot"
HARM = {
    "requests": REQUESTS,
    "triples": REQUESTS,
    "anchors": 4 * REQUESTS,
    "held_out": REQUESTS,
    "helper_train": REQUESTS,
    "helper_dev": 8,
}
LIMITS = {"train": REQUESTS, "dev": 8, "test": REQUESTS}
STANDIN = {"dishes": LIMITS, "facts": LIMITS, "benign": LIMITS}


def cut(raw: dict[str, Any], model: str) -> dict[str, Any]:
    """The config of the pilot: the named model with its arms and attacks, everything once and short. raw: as it stands in the file."""
    chosen = [entry for entry in raw["models"] if entry["name"] == model]
    if not chosen:
        names = ", ".join(entry["name"] for entry in raw["models"])
        raise UserError("--config pilot", f"there is no model {model!r}", f"one of: {names}")
    arms = [_short(arm) for arm in inherit(raw["arms"], "config") if _is_for(arm, model)]
    names = [arm["name"] for arm in arms]
    attacks = [_with_helper(_whole(attack), names, raw["seeds"][0]) for attack in raw["attacks"] if _is_for(attack, model)]
    found = {key: value for key, value in raw.items() if key not in ("pilot", "claims")}
    return (
        found
        | {
            "experiment": raw["experiment"] + SUFFIX,
            "models": chosen,
            "seeds": raw["seeds"][:1],
            "arms": arms,
            "attacks": attacks,
            "judges": _judges(raw["judges"], {attack["name"] for attack in attacks}),
            "tasks": [_few(_whole(task)) for task in raw.get("tasks", []) if _is_for(task, model)],
            "harm": {**_harm(raw, names), **HARM},
            "standin": {**raw.get("standin", {}), **STANDIN, **_short_teaching(raw)},
            "helper": {**raw.get("helper", {}), "steps": STEPS, "epochs": None},
            "claims": None,
            "pools": [],  # of several models, and a pilot has one
        }
        | ({"causal": {**raw["causal"], "seeds": None}} if raw.get("causal") else {})  # of the one seed that a pilot has
        | ({} if set(raw.get("headline", [])) <= set(names) else {"headline": [names[0], names[-1]]})
    )


def _is_for(entry: dict[str, Any], model: str) -> bool:
    if entry.get("kind") == "checkpoint":
        return entry["of"] == model
    return not entry.get("only") or model in entry["only"]


def _short(arm: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in arm.items() if key not in ("only", "seeds")}
    return kept | ({"steps": STEPS} if "steps" in kept else {})


def _short_teaching(raw: dict[str, Any]) -> dict[str, Any]:
    """Policy `facts` has a training more."""
    taught = raw.get("standin", {}).get("teaching")
    return {"teaching": {**taught, "steps": STEPS}} if taught else {}


def _harm(raw: dict[str, Any], arms: list[str]) -> dict[str, Any]:
    """Without an arm that writes harmful answers, where the pilot's model has no such arm."""
    harm = raw.get("harm", {})
    writer = (harm.get("harmful_model") or {}).get("arm")
    return harm if writer is None or writer in arms else {key: value for key, value in harm.items() if key != "harmful_model"}


def _with_helper(attack: dict[str, Any], arms: list[str], seed: int) -> dict[str, Any]:
    """A helper learns from the seed that the pilot has; from the arm it attacks, where its own target is left out."""
    helper = attack.get("helper")
    if not helper:
        return attack
    left = helper.get("target_arm", "da") in [*arms, OWN]
    return attack | {"helper": {**helper, "seed": seed} if left else {"target_arm": OWN}}


def _judges(judges: list[dict[str, Any]], attacks: set[str]) -> list[dict[str, Any]]:
    """A judge grades those of its attacks that the pilot has, and is left out where it has none."""
    cut = [
        judge | {"attacks": [a for a in judge["attacks"] if a in attacks]} if judge.get("attacks") else judge
        for judge in judges
    ]
    return [judge for judge in cut if judge.get("attacks") != []]


def _few(task: dict[str, Any]) -> dict[str, Any]:
    """A task asks a few of its questions."""
    limits = {"lm_eval": {"limit": REQUESTS}, "mt_bench": {"questions": REQUESTS // 2}, "refusal_rate": {"questions": REQUESTS}}
    return task | limits.get(task["kind"], {})


def _whole(entry: dict[str, Any]) -> dict[str, Any]:
    """An attack in one job, on no more requests than the pilot has."""
    kept = {key: value for key, value in entry.items() if key not in ("only", "shards")}
    return kept | ({"requests": min(kept["requests"], REQUESTS)} if kept.get("requests") else {})
