"""Training and validation loss of AutoRAP's helpers (the paper's Figure 6)."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One panel a model: a line an arm that a helper learned from, the loss on the requests that were set apart dashed."""
    table, arms = data.table("helper_curves"), style.every_arm(data)
    models = [model for model in data.models if model in set(table["model"])] or list(data.models)[:1]
    figure, axes = plt.subplots(1, len(models), figsize=(1 + 3.2 * len(models), 3.0), squeeze=False)
    for axis, model in zip(axes[0], models, strict=True):
        told = set()
        for (arm, _), rows in table[table["model"] == model].groupby(["arm", "seed"], sort=False):
            colour, checked = style.look(arms, arm)["color"], rows.dropna(subset=["validation"])
            name = {part: None if arm in told else f"{style.label(arm)}, {part}" for part in ("training", "validation")}
            axis.plot(rows["step"], rows["training"], color=colour, linewidth=0.8, label=name["training"])
            if len(checked):
                axis.plot(checked["step"], checked["validation"], "--", color=colour, label=name["validation"])
            told.add(arm)
        axis.set_title(model, loc="left")
        axis.set_xlabel("optimiser step")
        axis.set_ylabel("binary cross-entropy (nats)")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    return figure
