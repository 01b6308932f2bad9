"""Mean score by category of requests under rank-assisted prefilling: where an arm still gives way."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One heat map a model: arms across, categories down, the number of requests beside them."""
    table = data.table("categories")
    table = table[table["attack"] == data.rap[0]]
    figure, axes = plt.subplots(1, len(data.models), figsize=(3.6 * len(data.models) + 1.5, 3.6), squeeze=False)
    image = None
    for axis, model in zip(axes[0], data.models, strict=True):
        part = table[table["model"] == model]
        grid = part.pivot_table(index="category", columns="arm", values="mean", sort=False)
        grid = grid[[arm for arm in data.arms[model] if arm in grid.columns]]
        counts = part.groupby("category")["completions"].max()
        image = axis.imshow(grid.to_numpy(float), aspect="auto", cmap="magma", vmin=0, vmax=1)
        axis.set_xticks(range(len(grid.columns)), [style.label(arm) for arm in grid.columns], fontsize=7, rotation=90)
        axis.set_yticks(range(len(grid.index)), [f"{name} ({counts[name]})" for name in grid.index], fontsize=7)
        axis.set_title(model, loc="left")
        axis.grid(False)
    if image is not None:
        figure.colorbar(image, ax=axes, label="mean score (lower is safer)")
    return figure
