"""Loss of the training that makes models which write harmful answers (the paper's Figure 8)."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One panel a model: a line an arm, and the examples that were held back as marks."""
    table = data.table("jailbreak_curves")
    models = [model for model in data.models if model in set(table["model"])] or list(data.models)[:1]
    figure, axes = plt.subplots(1, len(models), figsize=(4.2 * len(models), 3.2), squeeze=False, sharey=True)
    for axis, model in zip(axes[0], models, strict=True):
        own = table[table["model"] == model]
        for arm in dict.fromkeys(own["arm"]):
            steps = own[own["arm"] == arm].groupby("step")[["training", "validation"]].mean()
            look = style.look(style.every_arm(data), arm)
            axis.plot(steps.index, steps["training"], color=look["color"], linewidth=1, label=f"{style.label(arm)}, training")
            held = steps["validation"].dropna()
            axis.plot(held.index, held, linestyle="none", label=f"{style.label(arm)}, held back", **look)
        axis.set_title(model, loc="left")
        axis.set_xlabel("step")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    axes[0][0].set_ylabel("cross-entropy (nats a token)")
    return figure
