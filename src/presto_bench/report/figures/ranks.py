"""How high the model's own text stays after a prefill: share in the top k and reach@k, with the benign controls."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

CELLS = ("harmful_harmful", "harmful_benign", "benign_harmful", "benign_benign")
MEASURES = {"in_top": "share of tokens in the top k", "reach": "reach@k"}


def draw(data: Data) -> Figure:
    """Rows: model x measure; columns: the 2 x 2 of prompt and prefill."""
    table = data.table("rank_curves")
    rows = [(model, measure) for model in data.models for measure in MEASURES]
    figure, axes = plt.subplots(len(rows), len(CELLS), figsize=(10, 2.5 * len(rows)), sharex=True, sharey="row", squeeze=False)
    for line, (model, measure) in zip(axes, rows, strict=True):
        for axis, cell in zip(line, CELLS, strict=True):
            for arm in data.arms[model]:
                curve = table[(table["model"] == model) & (table["arm"] == arm) & (table["role"] == cell)]
                axis.plot(
                    curve["k"],
                    curve[measure],
                    label=style.label(arm),
                    markersize=3,
                    linewidth=1,
                    **style.look(data.arms[model], arm),
                )
            axis.axvline(20, color="black", linewidth=0.6, linestyle=":")
            axis.set_xscale("log")
            axis.set_ylim(-0.02, 1.02)
        line[0].set_ylabel(f"{model}\n{MEASURES[measure]}")
    for axis, cell in zip(axes[0], CELLS, strict=True):
        prompt, prefill = cell.split("_")
        axis.set_title(f"{prompt} prompt, {prefill} prefill", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("k")
    style.legend(figure)
    return figure
