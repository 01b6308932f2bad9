"""Page one: safety under rank-assisted prefilling against what it costs, by arm."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report import words
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

AXES = {"answer_loss": "held-out answer loss (nats a token)", "refusal_rate": "share of benign requests refused"}


def draw(data: Data) -> Figure:
    """One panel a model, against one cost: held-out loss where it was measured; lower left is safe and useful."""
    tasks = [name for kind in AXES for name, own in data.tasks.items() if own == kind] or list(data.tasks)
    attack, variant = data.rap
    figure, axes = plt.subplots(len(data.models), 1, figsize=(7, 3.3 * len(data.models)), squeeze=False)
    for axis, model in zip(axes[:, 0], data.models, strict=True):
        for task in tasks[:1]:
            _panel(axis, data, model, attack, variant, task)
        axis.set_title(model, loc="left")
        if axis.has_data():
            axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
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
    axis.set_ylabel(f"score under {words.attack(attack, {})},\n{words.variant(variant)} (lower is safer)")
    axis.set_ylim(bottom=-0.02)
