"""Attention that response tokens pay to the prefill, by layer and head, arm by arm."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One heat map a model and arm, all on one scale; mean attention in the title."""
    table = data.table("attention")
    columns = max(len(arms) for arms in data.arms.values())
    figure, axes = plt.subplots(len(data.models), columns, figsize=(2.6 * columns + 0.6, 3.8 * len(data.models)), squeeze=False)
    top, image = table["mass"].max(), None
    for line, model in zip(axes, data.models, strict=True):
        for axis, arm in zip(line, data.arms[model], strict=False):
            part = table[(table["model"] == model) & (table["arm"] == arm)]
            grid = part.pivot(index="layer", columns="head", values="mass").to_numpy()
            image = axis.imshow(grid, aspect="auto", cmap="viridis", vmin=0, vmax=top)
            axis.set_title(f"{style.wrapped(arm)}\n{grid.mean():.3f}", fontsize=8)
            axis.set_xlabel("head")
            axis.grid(False)
        for axis in line[len(data.arms[model]) :]:
            axis.set_visible(False)
        line[0].set_ylabel(f"{model}: layer")
    if image is not None:
        figure.colorbar(image, ax=axes, label="attention on the prefill")
    return figure
