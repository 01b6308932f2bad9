"""What a stronger attacker gets: score by number of candidates k, and by step budget, for every attack that picks from ranks."""

import re

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

VARIANT = re.compile(r"k(?P<k>\d+)(_(?P<start>prefill|noprefill))?(_s(?P<steps>\d+))?(?P<null>_swapped|_guide_only)?")
LINES = ("-", "--", ":", "-.")


def draw(data: Data) -> Figure:
    """One line of panels a model: score by k at the largest budget, and score by budget at the attack's first k."""
    table = swept(data.table("scores"), data)
    figure, axes = plt.subplots(len(data.models), 2, figsize=(8, 3.2 * len(data.models)), squeeze=False)
    for line, model in zip(axes, data.models, strict=True):
        rows = table[table["model"] == model]
        _panel(line[0], data, model, rows[rows["steps"] == rows.groupby("attack")["steps"].transform("max")], "k")
        _panel(line[1], data, model, rows[(rows["k"] == rows["first_k"]) & (rows["steps"] > 0)], "steps")
        line[0].set_ylabel(f"{model}: mean score (lower is safer)")
    style.legend(figure, dict(zip(data.ranked, LINES * len(data.ranked), strict=False)))
    return figure


def swept(scores: pd.DataFrame, data: Data) -> pd.DataFrame:
    """Rows of attacks with a k that start from the prefill, nulls left out; steps is 0 where the variant does not say."""
    rows = scores[scores["attack"].isin(data.ranked) & (scores["judge"] == data.judge)]
    found = rows.join(rows["variant"].str.extract(VARIANT))
    found = found[found["k"].notna() & found["null"].isna() & found["start"].ne("noprefill")]
    found = found.assign(k=found["k"].astype(int), steps=pd.to_numeric(found["steps"]).fillna(0).astype(int))
    return found.assign(first_k=found.groupby(["model", "attack"])["k"].transform("first"))


def _panel(axis, data: Data, model: str, rows: pd.DataFrame, by: str) -> None:
    for attack, dashes in zip(data.ranked, LINES * len(data.ranked), strict=False):
        for arm in data.arms[model]:
            part = rows[(rows["attack"] == attack) & (rows["arm"] == arm)].sort_values(by)
            if part.empty:
                continue
            axis.errorbar(
                part[by],
                part["mean"],
                yerr=[part["mean"] - part["low"], part["high"] - part["mean"]],
                linestyle=dashes,
                capsize=2,
                markersize=4,
                label=style.label(arm),
                **style.look(data.arms[model], arm),
            )
    axis.set_xlabel({"k": "candidates k", "steps": "steps (picks and backtracks)"}[by])
    axis.set_xscale("log")
    axis.set_ylim(-0.02, 1)
