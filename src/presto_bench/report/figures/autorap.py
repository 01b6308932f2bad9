"""Rank-assisted prefilling with a picker that is trained or human: mean score by model and arm, and what has been published."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import published, style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One panel an attack; each variant's arms stand side by side, models from left to right."""
    table = data.table("scores")
    table = table[table["attack"].isin(data.picked) & (table["judge"] == data.judge)]
    attacks = list(table["attack"].drop_duplicates()) or data.picked[:1]
    figure, axes = plt.subplots(len(attacks), 1, figsize=(2.5 + 1.6 * len(data.models), 3.4 * len(attacks)), squeeze=False)
    for axis, attack in zip(axes[:, 0], attacks, strict=True):
        rows = table[table["attack"] == attack]
        first = rows[rows["variant"] == rows["variant"].iloc[0]] if len(rows) else rows
        style.points(axis, data, first, data.models, "model")
        _rest(axis, data, attack, first)
        published.mark(axis, data, "score", attack, first["variant"].iloc[0] if len(first) else "")
        axis.set_title(f"{attack} ({first['variant'].iloc[0]})" if len(first) else attack, loc="left")
        axis.set_ylabel("mean score (lower is safer)")
        axis.set_ylim(-0.02, 1)
        axis.legend(fontsize=7)
    return figure


def _rest(axis, data: Data, attack: str, shown: pd.DataFrame) -> None:
    """The same means without the requests that were examples when the prefills were written: a dash beside each point."""
    rest, arms = data.table("scores_without_examples"), style.every_arm(data)
    rest = rest[(rest["attack"] == attack) & (rest["judge"] == data.judge) & rest["variant"].isin(shown["variant"])]
    for i, row in enumerate(rest.itertuples()):
        place = list(data.models).index(row.model) + style.shift(data.arms[row.model], row.arm) - 0.04
        name = "without the prefills' examples" if i == 0 else None
        axis.plot([place], [row.mean], linestyle="none", marker="_", color=style.look(arms, row.arm)["color"], label=name)
