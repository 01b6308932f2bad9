"""The causal test: what changing attention to the prefill does to a text's cost, band of layers by band, beside two shams that move as much."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.analysis.depth import BENIGN, HARMFUL
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

KINDS = {"knock_out": "attention to the prefill knocked out", "take_over": "… set to what the other arm pays"}
SPANS = {
    "prefill": ("prefill", {"linestyle": "-"}),
    "sham": ("random span", {"linestyle": ":", "markerfacecolor": "none"}),
    "prompt": ("whole prompt", {"linestyle": "--", "markerfacecolor": "none"}),
}
TEXTS = {HARMFUL: "harmful text", BENIGN: "benign text"}


def draw(data: Data) -> Figure:
    """A line of panels a model and kind of patch, a column a text; filled: the prefill, open: the shams."""
    table = data.table("causal")
    lines = [(model, kind) for model in data.models for kind in KINDS]
    figure, axes = plt.subplots(len(lines), 2, figsize=(9, 2.9 * len(lines)), squeeze=False, sharey="row")
    for line, (model, kind) in zip(axes, lines, strict=True):
        for axis, (role, text) in zip(line, TEXTS.items(), strict=True):
            rows = table[(table["model"] == model) & (table["patch"] == kind) & (table["role"] == role)]
            _panel(axis, data, model, rows)
            axis.set_title(f"{text}: {KINDS[kind]}", loc="left", fontsize=8)
        line[0].set_ylabel(f"{model}: change, bits a token")
        line[1].legend(fontsize=7)
    return figure


def _panel(axis, data: Data, model: str, rows: pd.DataFrame) -> None:
    bands = sorted(
        set(zip(rows["first_layer"], rows["last_layer"], strict=True)), key=lambda band: (band[1] - band[0], band[0])
    )
    place = {band: i for i, band in enumerate(bands)}
    axis.axhline(0, color="black", linewidth=0.6)
    tested = [arm for arm in data.arms[model] if arm in set(rows["arm"])]
    for arm in tested:
        for span, (name, look) in SPANS.items():
            part = rows[(rows["arm"] == arm) & (rows["span"] == span)]
            if part.empty:
                continue
            x = [
                place[band] + style.shift(tested, arm, 0.1)
                for band in zip(part["first_layer"], part["last_layer"], strict=True)
            ]
            part = part.assign(x=x).sort_values("x")
            axis.errorbar(
                part["x"],
                part["change"],
                yerr=[part["change"] - part["low"], part["high"] - part["change"]],
                capsize=2,
                markersize=4,
                label=f"{style.label(arm)}, {name}",
                **style.look(data.arms[model], arm),
                **look,
            )
    axis.set_xticks(range(len(bands)), [_name(band) for band in bands], fontsize=7)
    axis.set_xlabel("layers")


def _name(band: tuple[int, int]) -> str:
    return f"{band[0]}" if band[0] == band[1] else f"{band[0]}–{band[1]}"
