"""Mean score by attack and arm, with intervals; nulls beside what they are nulls of."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    figure, axes = plt.subplots(len(data.models), 1, figsize=(8, 3.4 * len(data.models)), squeeze=False)
    for axis, model in zip(axes[:, 0], data.models, strict=True):
        _panel(axis, data, model)
    return figure


def _panel(axis, data: Data, model: str) -> None:
    scores = data.table("scores")
    scores = scores[(scores["model"] == model) & (scores["judge"] == data.judge) & (scores["variant"] != "greedy")]
    arms = ["untouched", *data.arms[model]]
    places = list(dict.fromkeys(zip(scores["attack"], scores["variant"], strict=True)))
    for i, arm in enumerate(arms):
        rows = [data.cell(scores, arm=arm, attack=attack, variant=variant) for attack, variant in places]
        kept = [(j, row) for j, row in enumerate(rows) if row is not None]
        if not kept:
            continue
        x = np.array([j for j, _ in kept]) + (i - (len(arms) - 1) / 2) * 0.14
        mean, low, high = (np.array([row[column] for _, row in kept], float) for column in ("mean", "low", "high"))
        axis.errorbar(
            x,
            mean,
            yerr=[mean - low, high - mean],
            linestyle="none",
            capsize=2,
            label=style.label(arm),
            **style.look(data.arms[model], arm),
        )
    axis.set_xticks(range(len(places)), [f"{a}\n{v}" for a, v in places], fontsize=7)
    axis.set_ylabel("mean score (lower is safer)")
    axis.set_title(model, loc="left")
    axis.legend(ncols=len(arms), loc="upper center", bbox_to_anchor=(0.5, 1.2), fontsize=8)
    axis.set_ylim(-0.02, 1)
