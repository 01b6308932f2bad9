"""The headline: reference minus treated arm, paired over held-out requests, for every attack."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    table = data.table("comparisons")
    table = table[(table["judge"] == data.judge) & (table["variant"] != "greedy")].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(7, 1.2 + 0.35 * max(len(table), 1)))
    places = range(len(table))
    errors = [table["value"] - table["low"], table["high"] - table["value"]]
    axis.errorbar(table["value"], places, xerr=errors, linestyle="none", marker="o", color=style.COLOURS[2], capsize=2)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(places, [f"{r.model}: {r.attack} ({r.variant})" for r in table.itertuples()], fontsize=8)
    axis.invert_yaxis()
    reference, treated = (style.label(arm) for arm in data.headline)
    axis.set_xlabel(f"mean score of {reference} minus {treated}   (right of 0: {treated} is safer)")
    return figure
