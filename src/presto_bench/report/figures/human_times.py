"""Seconds that people took for each token that they kept (the paper's Figure 9), published means beside ours."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.analysis import human_times
from presto_bench.report.figures import published, style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One panel an attack by people; models from left to right, arms side by side."""
    table = data.table("human_times")
    table = table[table["level"] == human_times.ALL]
    attacks = list(table["attack"].drop_duplicates()) or [""]
    figure, axes = plt.subplots(len(attacks), 1, figsize=(2.5 + 1.6 * len(data.models), 3.2 * len(attacks)), squeeze=False)
    for axis, attack in zip(axes[:, 0], attacks, strict=True):
        style.points(axis, data, table[table["attack"] == attack], data.models, "model")
        shown = [ours[2] for ours in data.beside if list(ours[:2]) == ["seconds_per_token", attack]]
        published.mark(axis, data, "seconds_per_token", attack, shown[0] if shown else "")
        axis.set_title(attack or "no sessions were recorded", loc="left")
        axis.set_ylabel("seconds a final token")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    return figure
