"""What the stages ask of a policy beyond its tables: the null's requests, and what refusals begin with."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from presto_bench import draws
from presto_bench.lm import chat
from presto_bench.policies import cooking, facts, lists

STANDINS: dict[str, Any] = {"cooking": cooking, "facts": facts}


def standin(policy: str) -> Any:
    """The module of a stand-in policy: prompts, attack_prefills, answered, swapped, refusals, draw_refusal."""
    return STANDINS[policy]


def twins(policy: str, requests: pd.DataFrame, prefills: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """prompt_id -> (prompt, prefill) of a request that a null asks instead: the same for another dish or place; or one of another category.

    prefills: prompt_id -> the attack's prefill.
    """
    if policy in STANDINS:
        return standin(policy).swapped(requests)
    others = {row.prompt_id: _of_another_category(row, requests) for row in requests.itertuples()}
    return {prompt_id: (other.prompt, prefills.get(other.prompt_id, "")) for prompt_id, other in others.items()}


def accepted(policy: str, requests: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """prompt_id -> all that counts as an answer, for the policy that can list it; else nothing."""
    if policy != "facts":
        return {}
    return {row.prompt_id: facts.accepted(facts.fact_of(row.category)) for row in requests.itertuples()}


def _of_another_category(row: Any, requests: pd.DataFrame) -> Any:
    """A draw among the requests of other categories; with one category alone, among all others."""
    others = requests[(requests["category"] != row.category) & (requests["role"] == row.role)]
    others = others if len(others) else requests[(requests["prompt_id"] != row.prompt_id) & (requests["role"] == row.role)]
    if others.empty:
        return row
    others = others.sort_values("prompt_id")
    return others.iloc[int(draws.generator("swap", row.prompt_id).integers(len(others)))]


def common_refusals() -> list[str]:
    """How models that others have aligned refuse, by first words; written by hand, no model's own."""
    return [row["refusal"] for row in lists.rows("common_refusals.csv")]


def openers(tokenizer: Any, refusals: Sequence[str]) -> set[int]:
    """First tokens of refusals."""
    return {ids[0] for text in refusals if (ids := chat.encode_text(tokenizer, text))}
