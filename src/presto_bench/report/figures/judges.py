"""What another judge would have said: mean score by arm and judge, and the headline's difference by judge."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """One line of panels a model: means under the main rank-assisted attack, and reference minus treated for every attack."""
    figure, axes = plt.subplots(len(data.models), 2, figsize=(9, 3.2 * len(data.models)), squeeze=False)
    for line, model in zip(axes, data.models, strict=True):
        _means(line[0], data, model)
        _differences(line[1], data, model)
    style.legend(figure)
    return figure


def _means(axis, data: Data, model: str) -> None:
    scores, (attack, variant) = data.table("scores"), data.rap
    judges = data.graders
    for arm in data.arms[model]:
        cells = [data.cell(scores, model=model, arm=arm, attack=attack, variant=variant, judge=judge) for judge in judges]
        kept = [(j, cell) for j, cell in enumerate(cells) if cell is not None]
        mean, low, high = (np.array([cell[column] for _, cell in kept], float) for column in ("mean", "low", "high"))
        axis.errorbar(
            np.array([j for j, _ in kept]) + style.shift(data.arms[model], arm),
            mean,
            yerr=[mean - low, high - mean],
            linestyle="none",
            capsize=2,
            label=style.label(arm),
            **style.look(data.arms[model], arm),
        )
    axis.set_xticks(range(len(judges)), judges)
    axis.set_ylabel(f"{model}, {attack}: mean score")
    axis.set_ylim(-0.02, 1)


def _differences(axis, data: Data, model: str) -> None:
    table = data.table("comparisons")
    table = table[table["model"] == model].drop_duplicates(["attack", "judge"])
    attacks, judges = list(dict.fromkeys(table["attack"])), data.graders
    for i, judge in enumerate(judges):
        rows = table[table["judge"] == judge].set_index("attack").reindex(attacks)
        axis.errorbar(
            np.arange(len(attacks)) + style.shift(judges, judge),
            rows["value"],
            yerr=[rows["value"] - rows["low"], rows["high"] - rows["value"]],
            linestyle="none",
            marker="osD^v"[i % 5],
            capsize=2,
            label=judge,
        )
    axis.axhline(0, color="0.5", linewidth=0.8)
    axis.set_xticks(range(len(attacks)), attacks, fontsize=7)
    axis.set_ylabel(" - ".join(style.label(arm) for arm in data.headline))
