"""Coercion bits: what forcing each text costs, a token and over depth, arm by arm."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.analysis.coercion import BENIGN, DIVERTED, HARMFUL, NET, NULL, UNASKED
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

TEXTS = {
    HARMFUL: "harmful text",
    BENIGN: "benign text",
    NULL: "harmful, on\nanother request",
    UNASKED: "harmful, on a\nbenign prompt",
    DIVERTED: "benign, on a\nharmful prompt",
    NET: "harmful\nnet of benign",
}
DASHES = {HARMFUL: "-", BENIGN: ":", NULL: "--"}


def draw(data: Data) -> Figure:
    """One line of panels a model: bits a token of each text, and bits spent up to each depth."""
    figure, axes = plt.subplots(len(data.models), 2, figsize=(11, 3.4 * len(data.models)), squeeze=False)
    for line, model in zip(axes, data.models, strict=True):
        _per_token(line[0], data, model)
        _over_depth(line[1], data, model)
    style.legend(figure)
    return figure


def _per_token(axis, data: Data, model: str) -> None:
    table, arms = data.table("bits"), data.arms[model]
    for arm in arms:
        cells = [data.cell(table, model=model, arm=arm, what=what) for what in TEXTS]
        kept = [(j, cell) for j, cell in enumerate(cells) if cell is not None]
        value, low, high = (np.array([cell[column] for _, cell in kept], float) for column in ("value", "low", "high"))
        axis.errorbar(
            np.array([j for j, _ in kept]) + style.shift(arms, arm),
            value,
            yerr=[value - low, high - value],
            linestyle="none",
            capsize=2,
            label=style.label(arm),
            **style.look(arms, arm),
        )
    axis.axhline(0, color="0.5", linewidth=0.8)
    axis.set_xticks(range(len(TEXTS)), TEXTS.values(), fontsize=7)
    axis.set_ylabel(f"{model}: bits a token (more is safer)")


def _over_depth(axis, data: Data, model: str) -> None:
    table = data.table("bits_curves")
    for arm in data.arms[model]:
        for role, dashes in DASHES.items():
            curve = table[(table["model"] == model) & (table["arm"] == arm) & (table["role"] == role)]
            look = {**style.look(data.arms[model], arm), "marker": None}
            axis.plot(curve["position"] + 1, curve["bits"], linestyle=dashes, linewidth=1.2, **look)
    axis.set_xlabel("tokens behind the prefill (solid: harmful, dotted: benign, dashed: another dish)", fontsize=7)
    axis.set_ylabel("bits so far")
