"""What stands at each of the 20 best ranks behind a harmful beginning: refusals, plausible tokens, damage; arm by arm."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

KINDS = {
    "refusal": ("#0072b2", "refusal"),
    "plausible_refused": ("#56b4e9", "plausible, then refused"),
    "plausible": ("#d55e00", "plausible"),
    "other": ("#999999", "neither (damage)"),
}


def draw(data: Data) -> Figure:
    table = data.table("composition_by_rank")
    columns = max(len(arms) for arms in data.arms.values())
    figure, axes = plt.subplots(
        len(data.models), columns, figsize=(2.4 * columns, 2.6 * len(data.models)), squeeze=False, sharey=True
    )
    for line, model in zip(axes, data.models, strict=True):
        for axis, arm in zip(line, data.arms[model], strict=False):
            part = table[(table["model"] == model) & (table["arm"] == arm)]
            grid = part.pivot_table(index="rank", columns="kind", values="share", aggfunc="mean").fillna(0.0)
            grid = grid.reindex(columns=list(KINDS), fill_value=0.0)
            axis.stackplot(grid.index, grid.T.to_numpy(), colors=[colour for colour, _ in KINDS.values()], step="mid")
            axis.set_title(style.label(arm), fontsize=8)
            axis.set_xlabel("rank")
        for axis in line[len(data.arms[model]) :]:
            axis.set_visible(False)
        line[0].set_ylabel(f"{model}: share")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour, _ in KINDS.values()]
    figure.legend(handles, [told for _, told in KINDS.values()], loc="outside lower center", ncols=4, fontsize=7)
    return figure
