"""Depth against damage as training grows stronger, one line a family of arms."""

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from presto_bench.analysis.curve_names import LOSS_RATIO, NET_BITS, SCORE, UPDATE
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

ACROSS = {LOSS_RATIO: "held-out loss, ratio to the base", UPDATE: "norm of the update, ratio to the weights'"}
UP = {
    NET_BITS: "coercion bits a token,\nnet of damage (more is safer)",
    SCORE: "score under rank-assisted\nprefilling (less is safer)",
}


def draw(data: Data) -> Figure:
    """Two rows a model (bits, score), two columns (held-out loss, size of the update): a family off the other's line reaches more at the same damage."""
    rows = [(model, what) for model in data.models for what in UP]
    figure, axes = plt.subplots(
        len(rows), len(ACROSS), figsize=(4.2 * len(ACROSS), 3.0 * len(rows)), squeeze=False, sharey="row"
    )
    for line, (model, what) in zip(axes, rows, strict=True):
        for axis, across in zip(line, ACROSS, strict=True):
            _panel(axis, data, model, what, across)
        line[0].set_ylabel(UP[what])
        line[0].set_title(model, loc="left")
    style.legend(figure)
    return figure


def _panel(axis: Axes, data: Data, model: str, what: str, across: str) -> None:
    table = data.table("curve")
    table = table[(table["model"] == model) & (table["what"] == what)]
    families = list(dict.fromkeys(table["family"]))
    for family in families:
        own = table[table["family"] == family]  # from weak to strong training: a line that folds back is seen as such
        errors = [own["value"] - own["low"], own["high"] - own["value"]]
        look = style.look(families, family)
        axis.errorbar(
            own[across], own["value"], yerr=errors, capsize=2, linewidth=1, linestyle="-", label=style.label(family), **look
        )
    axis.set_xlabel(ACROSS[across])
