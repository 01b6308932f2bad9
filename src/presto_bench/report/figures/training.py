"""What each part of the loss did in training: its value, and the norm of its own gradient."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

PARTS = {
    "cross_entropy": ("cross-entropy", "-"),
    "presto": ("PRESTO", "--"),
    "kl": ("KL", ":"),
    "transition": ("transitions", "-."),
}


def draw(data: Data) -> Figure:
    """One line of panels a model: loss parts by step, then gradient norms; one colour an arm, one line style a part."""
    table = data.table("training")
    figure, axes = plt.subplots(len(data.models), 2, figsize=(7.5, 3.0 * len(data.models)), squeeze=False)
    for line, model in zip(axes, data.models, strict=True):
        for axis, prefix, title in ((line[0], "", "loss, by part"), (line[1], "norm_", "norm of the part's own gradient")):
            for arm in data.arms[model]:
                rows = table[(table["model"] == model) & (table["arm"] == arm)]
                for part, (_, dashes) in PARTS.items():
                    values = rows.groupby("step")[prefix + part].mean().dropna()
                    if values.empty:
                        continue
                    mark = {"marker": style.look(data.arms[model], arm)["marker"], "markersize": 4} if prefix else {}
                    colour = style.look(data.arms[model], arm)["color"]
                    axis.plot(values.index, values, dashes, color=colour, label=style.label(arm), **mark)
            axis.set_title(f"{model}: {title}", fontsize=9)
            axis.set_xlabel("optimiser step")
            axis.set_yscale("log")
    style.legend(figure, {name: dashes for part, (name, dashes) in PARTS.items() if table[part].notna().any()})
    return figure
