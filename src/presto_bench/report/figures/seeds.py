"""Every training seed as a point: depth in bits, net of damage, against held-out loss."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.analysis.coercion import NET
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One panel a model; arms that lie apart differ by more than their seeds do."""
    figure, axes = plt.subplots(1, len(data.models), figsize=(5 * len(data.models), 3.8), squeeze=False)
    task = next(name for name, kind in data.tasks.items() if kind == "answer_loss")
    for axis, model in zip(axes[0], data.models, strict=True):
        for arm in data.arms[model]:
            table = data.table("seeds")
            own = table[(table["model"] == model) & (table["arm"] == arm)].pivot(index="seed", columns="what", values="value")
            if {NET, task} <= set(own.columns):
                axis.plot(
                    own[task], own[NET], linestyle="none", label=style.label(arm), **style.look(style.every_arm(data), arm)
                )
        axis.set_title(model, loc="left")
        axis.set_xlabel("held-out answer loss (nats a token, lower is better)")
        axis.legend(fontsize=7)
    axes[0][0].set_ylabel("bits a token, net of damage (more is safer)")
    return figure
