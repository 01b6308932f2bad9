"""What the arms cost in use: every task's mean by arm, and what has been published for the same model and task."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import published, style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One panel a task, models from left to right. Which direction is better stands in the panel's title."""
    table = data.table("utility")
    tasks = [task for task in data.tasks if task in set(table["task"])]
    figure, axes = plt.subplots(
        max(len(tasks), 1), 1, figsize=(max(2.5 + 1.6 * len(data.models), 6), 2.6 * max(len(tasks), 1)), squeeze=False
    )
    for axis, task in zip(axes[:, 0], tasks, strict=True):
        style.points(axis, data, table[table["task"] == task], data.models, "model")
        for measure in ("mt_bench", "gsm8k"):
            published.mark(axis, data, measure, task)
        axis.set_title(f"{task} ({data.tasks[task]})", loc="left", fontsize=8)
    style.legend(figure)
    return figure
