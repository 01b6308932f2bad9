"""Attention that each token receives, token by layer, for one attacked request (the paper's Figures 10 and 11)."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One line of panels a model, one panel an arm of the headline; rows are tokens from the user's turn on, the prefill's marked by a bar at the left."""
    table = data.table("attention_received")
    arms = list(data.headline)
    figure, axes = plt.subplots(
        len(data.models), len(arms), figsize=(1 + 3.4 * len(arms), 4.2 * len(data.models)), squeeze=False, sharey="row"
    )
    for line, model in zip(axes, data.models, strict=True):
        for axis, arm in zip(line, arms, strict=True):
            rows = table[(table["model"] == model) & (table["arm"] == arm)]
            axis.set_title(f"{model}: {style.label(arm)}", loc="left", fontsize=9)
            if rows.empty:
                continue
            grid = rows.pivot_table(index="position", columns="layer", values="received")
            shown = axis.imshow(grid.to_numpy(), aspect="auto", cmap="viridis", interpolation="nearest")
            prefill = np.flatnonzero(rows.drop_duplicates("position").sort_values("position")["part"] == "prefill")
            axis.plot([-0.9, -0.9], [prefill.min() - 0.5, prefill.max() + 0.5], color="#d55e00", linewidth=4, clip_on=False)
            axis.set_xlabel("layer")
            axis.grid(False)
            figure.colorbar(shown, ax=axis, shrink=0.8)
        line[0].set_ylabel("token, from the user's turn on (bar: the prefill)")
    return figure
