"""Rank-assisted prefilling with a picker that is trained or human: mean score by model and arm, and what has been published."""

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
        published.mark(axis, data, attack)
        axis.set_title(f"{attack} ({first['variant'].iloc[0]})" if len(first) else attack, loc="left")
        axis.set_ylabel("mean score (lower is safer)")
        axis.set_ylim(-0.02, 1)
        axis.legend(fontsize=7)
    return figure
