"""What each arm's depth costs: coercion bits net of damage against held-out loss, coloured by method, with a marker an arm."""

import math

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.analysis.coercion import NET
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One panel a model; upper left is deep and useful."""
    methods = list(dict.fromkeys(data.methods.values()))
    figure, axes = plt.subplots(1, len(data.models), figsize=(7.2 * len(data.models), 4.2), squeeze=False)
    for axis, model in zip(axes[0], data.models, strict=True):
        _panel(axis, data, model, methods)
        axis.set_title(model, loc="left")
        axis.set_xlabel("held-out answer loss (nats a token, lower is better)")
    axes[0][0].set_ylabel("bits a token, net of damage (more is safer)")
    return figure


def _panel(axis, data: Data, model: str, methods: list[str]) -> None:
    task = next(name for name, kind in data.tasks.items() if kind == "answer_loss")
    for arm in data.arms[model]:
        depth = data.cell(data.table("bits"), model=model, arm=arm, what=NET)
        cost = data.cell(data.table("utility"), model=model, arm=arm, task=task)
        if depth is None or cost is None or math.isnan(cost["mean"]):
            continue
        x, y, method = cost["mean"], depth["value"], data.methods[arm]
        look = {**style.look(methods, method), "marker": style.look(data.arms[model], arm)["marker"]}
        told = style.label(arm) if style.label(arm) == method else f"{style.label(arm)} ({method})"
        axis.errorbar(x, y, yerr=[[y - depth["low"]], [depth["high"] - y]], label=told, capsize=2, linewidth=0.7, **look)
        # Hard items are hard for all arms, so these intervals are wider than those of differences between arms: drawn faintly.
        axis.hlines(y, cost["low"], cost["high"], color=look["color"], linewidth=0.5, alpha=0.3)
    # Beside the points, which may lie on each other: names would too.
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
