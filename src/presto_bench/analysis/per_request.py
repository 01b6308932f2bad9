"""What each arm did with each request, in one row: for readers who doubt a mean. Pure: frames in, a frame out; no text."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from presto_bench.analysis.depth import HARMFUL

GREEDY = "greedy"
KEYS = ["model", "arm", "prompt_id"]
COLUMNS = [*KEYS, "refused", "prefilling", "rap", "bits", "ranks"]


@dataclass(frozen=True)
class Cells:
    """What stands in the columns: attack and variant of `rap`, and the attack of kind prefilling with its first variant (None: there is none)."""

    rap: tuple[str, str]
    prefilling: tuple[str, str] | None


def table(graded: pd.DataFrame, ranks: pd.DataFrame, judge: str, cells: Cells) -> pd.DataFrame:
    """One row a model, arm and request, means over seeds and samples; nothing is known where a cell is empty.

    refused: share of greedy responses behind the prefill that refuse. rap, prefilling: mean scores. bits: a token of the harmful text. ranks: of that text's
    tokens in the first seed, one number each, separated by spaces.
    """
    own = graded[graded["judge"] == judge]
    columns: Mapping[str, pd.Series] = {
        "refused": _mean(own, (cells.prefilling[0], GREEDY) if cells.prefilling else None, "refusal"),
        "prefilling": _mean(own, cells.prefilling, "score"),
        "rap": _mean(own, cells.rap, "score"),
        **_of_text(ranks[ranks["role"] == HARMFUL]),
    }
    found = pd.DataFrame(columns).rename_axis(KEYS).reset_index()
    order = {key: place for place, key in enumerate(dict.fromkeys(zip(graded["model"], graded["arm"], strict=True)))}
    place = [order.get((m, a), len(order)) for m, a in zip(found["model"], found["arm"], strict=True)]
    return found.assign(_place=place).sort_values(["_place", "prompt_id"], kind="stable").reset_index(drop=True)[COLUMNS]


def _mean(graded: pd.DataFrame, cell: tuple[str, str] | None, column: str) -> pd.Series:
    """A column's mean over seeds and samples; a missing grade makes it smaller in number and not in value."""
    rows = graded[(graded["attack"] == cell[0]) & (graded["variant"] == cell[1])] if cell else graded.iloc[:0]
    return rows.groupby(KEYS, sort=False)[column].mean().dropna()


def _of_text(ranks: pd.DataFrame) -> dict[str, pd.Series]:
    ordered = ranks.sort_values("position", kind="stable")
    bits = ordered.assign(bits=np.log2(ordered["rank"].astype(float))).groupby(KEYS, sort=False)["bits"].mean()
    first = ordered[ordered["seed"] == ordered.groupby(["model", "arm"])["seed"].transform("min")]
    listed = first.groupby(KEYS, sort=False)["rank"].agg(lambda own: " ".join(str(int(rank)) for rank in own))
    return {"bits": bits, "ranks": listed}
