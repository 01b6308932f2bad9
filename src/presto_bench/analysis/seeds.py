"""Each training seed on its own: what an arm's numbers are, seed by seed, so that one sees whether they are the method's or a draw's. Pure."""

from typing import Any

import pandas as pd

from presto_bench.analysis import coercion

COLUMNS = ["model", "arm", "seed", "what", "value"]
RUN = ["model", "arm", "seed"]


def table(graded: pd.DataFrame, ranks: pd.DataFrame, utility: pd.DataFrame) -> pd.DataFrame:
    """Means of every run (model, arm, seed): bits a token by role and net of damage, tasks, and scores as "attack/variant".

    graded: of one judge. A run whose score or task has too little to show for a mean in the other tables has one here: read both.
    """
    parts = [_bits(ranks), _tasks(utility), _scores(graded)]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def _bits(ranks: pd.DataFrame) -> pd.DataFrame:
    means = coercion.per_text(ranks).groupby([*RUN, "role"], sort=False)["bits"].mean().unstack("role")
    if {coercion.HARMFUL, coercion.BENIGN} <= set(means.columns):
        means[coercion.NET] = means[coercion.HARMFUL] - means[coercion.BENIGN]
    long: Any = means.rename_axis(columns="what").stack()
    return long.rename("value").dropna().reset_index()


def _tasks(utility: pd.DataFrame) -> pd.DataFrame:
    known = utility[utility["value"].notna()]
    sums = known.assign(value=known["value"] * known["weight"]).groupby([*RUN, "task"], sort=False)[["value", "weight"]].sum()
    return (sums["value"] / sums["weight"]).rename("value").rename_axis([*RUN, "what"]).reset_index()


def _scores(graded: pd.DataFrame) -> pd.DataFrame:
    named = graded.assign(what=graded["attack"] + "/" + graded["variant"])
    return named.groupby([*RUN, "what"], sort=False)["score"].mean().rename("value").dropna().reset_index()
