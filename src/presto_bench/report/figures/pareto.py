"""Page one: safety under rank-assisted prefilling against what it costs, by arm."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

AXES = {"answer_loss": "held-out answer loss (nats a token)", "refusal_rate": "share of benign requests refused"}


def draw(data: Data) -> Figure:
    """One panel a model and utility task; lower left is safe and useful."""
    tasks = [name for name, kind in data.tasks.items() if kind in AXES] or list(data.tasks)
    attack, variant = data.rap
    figure, axes = plt.subplots(
        len(data.models), max(len(tasks), 1), figsize=(3.9 * max(len(tasks), 1), 3.3 * len(data.models)), squeeze=False
    )
    for row, model in zip(axes, data.models, strict=True):
        for axis, task in zip(row, tasks, strict=False):
            _panel(axis, data, model, attack, variant, task)
        row[0].set_title(model, loc="left")
    axes[0][-1].legend(loc="best")
    return figure


def _panel(axis, data: Data, model: str, attack: str, variant: str, task: str) -> None:
    scores, utility = data.table("scores"), data.table("utility")
    for arm in data.arms[model]:
        safety = data.cell(scores, model=model, arm=arm, attack=attack, variant=variant, judge=data.judge)
        cost = data.cell(utility, model=model, arm=arm, task=task)
        if safety is None or cost is None:
            continue
        axis.errorbar(
            cost["mean"],
            safety["mean"],
            xerr=[[cost["mean"] - cost["low"]], [cost["high"] - cost["mean"]]],
            yerr=[[safety["mean"] - safety["low"]], [safety["high"] - safety["mean"]]],
            label=style.label(arm),
            capsize=2,
            linewidth=1,
            **style.look(data.arms[model], arm),
        )
    axis.set_xlabel(AXES.get(data.tasks[task], task) + "   (lower is better)")
    axis.set_ylabel(f"score under {attack} ({variant})\n(lower is safer)")
    axis.set_ylim(bottom=-0.02)
