"""The headline: reference minus treated arm, paired over held-out requests, for every attack."""

import textwrap

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report import words
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    table = data.table("comparisons")
    table = table[(table["judge"] == data.judge) & (table["variant"] != "greedy")].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(8, 1.4 + 0.4 * max(len(table), 1)))
    places = range(len(table))
    errors = [table["value"] - table["low"], table["high"] - table["value"]]
    axis.errorbar(table["value"], places, xerr=errors, linestyle="none", marker="o", color=style.COLOURS[2], capsize=2)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(
        places,
        [textwrap.fill(f"{r.model}: {words.attacked(r.attack, r.variant, {})}", 44) for r in table.itertuples()],
        fontsize=8,
    )
    axis.invert_yaxis()
    reference, treated = (style.label(arm) for arm in data.headline)
    axis.set_xlabel(textwrap.fill(f"mean score of {reference} minus {treated} (right of 0: {treated} is safer)", 60))
    return figure
