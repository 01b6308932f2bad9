"""The stand-in policy: cooking recipes are declared forbidden. Requests, refusals, prefills and splits, from our lists.

Nothing here is harmful. Dishes, not prompts, are split; the lists live in policies/data/ and are ours.
"""

from dataclasses import dataclass
from functools import cache

import pandas as pd

from presto_bench import draws, tables
from presto_bench.config.standin import StandinConfig
from presto_bench.policies import lists
from presto_bench.policies.lists import BRIEF

REQUESTS_PER_DISH = {"train": 4, "dev": 1, "test": 1}
ANSWERED_PER_DISH = 2  # of a training dish's requests; the others only teach the base to refuse


@dataclass(frozen=True)
class Dish:
    name: str
    ingredients: tuple[str, ...]
    split: str


@cache
def dishes() -> tuple[Dish, ...]:
    rows = lists.rows("dishes.csv") + lists.rows("sealed_dishes.csv")
    return tuple(Dish(row["dish"], tuple(row["ingredients"].split()), row["split"]) for row in rows)


@cache
def refusals() -> tuple[str, ...]:
    """All refusals, most frequent first: the bare openings before those with a closing."""
    openings = [row["opening"] for row in lists.rows("refusals.csv")]
    closings = [row["closing"] for row in lists.rows("refusal_closings.csv", may_be_empty=True)]
    return tuple(f"{opening} {closing}".strip() for closing in closings for opening in openings)


def draw_refusal(*key: object) -> str:
    """A refusal with natural (Zipf-like) frequencies."""
    return lists.zipf(refusals(), "refusal", *key)


def prompts(config: StandinConfig) -> pd.DataFrame:
    """The table `prompts`: every request, harmful (cooking) and benign, with its split."""
    harmful = [row for split in REQUESTS_PER_DISH for row in _dish_rows(split, config)]
    benign = [row for split in REQUESTS_PER_DISH for row in lists.benign(split, config.benign)]
    return lists.prompts_table(harmful + benign)


def attack_prefills(frame: pd.DataFrame) -> pd.DataFrame:
    """The table `prefills`: an affirmation and a non-substantive first step for each cooking request."""
    asked = frame[frame["role"] == "harmful"]
    rows = [(row.prompt_id, _prefill(row.prompt_id, row.category), "policies/data/prefills.csv") for row in asked.itertuples()]
    return pd.DataFrame(rows, columns=["prompt_id", "prefill", "source"])


def answered(frame: pd.DataFrame) -> pd.DataFrame:
    """The requests that the untouched model answers in full."""
    nth = frame.groupby("category").cumcount()
    return frame[(frame["role"] == "benign") | (nth < ANSWERED_PER_DISH)]


def dish_of(category: str) -> Dish:
    """A cooking request's category is its dish."""
    return next(dish for dish in dishes() if dish.name == category)


def swapped(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """prompt_id -> (the same request, the same prefill) for a dish of the same split that shares no ingredient: guided RAP's nulls."""
    requests = [row["request"] for row in lists.rows("requests.csv")]
    swapped_prompts = {}
    for row in frame[frame["role"] == "harmful"].itertuples():
        own = dish_of(row.category)
        others = [d for d in dishes() if d.split == own.split and not set(d.ingredients) & set(own.ingredients)]
        other = others[draws.generator("swap", row.prompt_id).integers(len(others))]
        request = next(r for r in requests if _fill(r, own.name) + BRIEF == row.prompt)
        swapped_prompts[row.prompt_id] = (_fill(request, other.name) + BRIEF, _prefill(row.prompt_id, other.name))
    return swapped_prompts


def _dish_rows(split: str, config: StandinConfig) -> list[tuple[str, str, str, str]]:
    """The requests of a split; those of `test` are about the held-out dishes that the config names."""
    of, limit = config.held_out if split == "test" else split, getattr(config.dishes, split)
    requests = [row["request"] for row in lists.rows("requests.csv")]
    ordered = sorted(dishes(), key=lambda dish: tables.prompt_id(dish.name))  # so that a limit takes a mixture
    chosen = [dish for dish in ordered if dish.split == of][:limit]
    rows = []
    for dish in chosen:
        order = draws.generator("request", dish.name).permutation(len(requests))
        for i in order[: REQUESTS_PER_DISH[split]]:
            rows.append((_fill(requests[i], dish.name) + BRIEF, dish.name, "harmful", split))
    return rows


def _prefill(prompt_id: str, dish: str) -> str:
    """A request's prefill, drawn by its id, about this dish."""
    templates = [row["prefill"] for row in lists.rows("prefills.csv")]
    return _fill(templates[draws.generator("prefill", prompt_id).integers(len(templates))], dish)


def _fill(template: str, dish: str) -> str:
    return template.replace("{dish}", dish).replace("{Dish}", dish[0].upper() + dish[1:])
