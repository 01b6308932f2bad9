"""Mean score by attack and arm, with intervals; nulls beside what they are nulls of."""

import textwrap

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report import words
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

DODGE = 0.12  # inches between the arms of one place
LABEL = 34  # characters of a line of a place's name
LEGEND = 72  # characters of a line of the legend


def draw(data: Data) -> Figure:
    """One panel a model; places from top to bottom, so that their names have room."""
    panels = [(model, _rows(data, model)) for model in data.models]
    heights = [_height(data, model, rows) for model, rows in panels]
    figure, axes = plt.subplots(len(panels), 1, figsize=(8, sum(heights) + 0.4), squeeze=False, height_ratios=heights)
    for axis, (model, rows) in zip(axes[:, 0], panels, strict=True):
        _panel(axis, data, model, rows)
    return figure


def _rows(data: Data, model: str):
    scores = data.table("scores")
    kept = scores[(scores["model"] == model) & (scores["judge"] == data.judge) & ~scores["variant"].str.startswith("greedy")]
    return kept.assign(place=[words.attacked(a, v, {}) for a, v in zip(kept["attack"], kept["variant"], strict=True)])


def _arms(data: Data, model: str, rows) -> list[str]:
    return [arm for arm in ("untouched", *data.arms[model]) if (rows["arm"] == arm).any()]


def _height(data: Data, model: str, rows) -> float:
    """Inches: each place has room for its arms, and the legend for its lines."""
    arms = _arms(data, model, rows)
    return max(rows["place"].nunique(), 1) * max(DODGE * (len(arms) + 1.5), 0.45) + 0.22 * -(-len(arms) // _columns(arms)) + 0.8


def _columns(arms: list[str]) -> int:
    """Names side by side in the legend."""
    return max(LEGEND // (max((len(style.label(arm)) for arm in arms), default=0) + 6), 1)


def _panel(axis, data: Data, model: str, rows) -> None:
    arms, places = _arms(data, model, rows), list(dict.fromkeys(rows["place"]))
    step = 0.8 / max(len(arms), 1)
    for number, arm in enumerate(arms):
        own = rows[rows["arm"] == arm]
        y = np.array([places.index(place) for place in own["place"]]) + (number - (len(arms) - 1) / 2) * step
        errors = [own["mean"] - own["low"], own["high"] - own["mean"]]
        axis.errorbar(
            own["mean"],
            y,
            xerr=errors,
            linestyle="none",
            capsize=2,
            label=style.label(arm),
            **style.look(data.arms[model], arm),
        )
    axis.set_yticks(range(len(places)), [textwrap.fill(place, LABEL) for place in places], fontsize=8)
    axis.set_ylim(max(len(places), 1) - 0.5, -0.5)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("mean score (lower is safer)")
    axis.set_ylabel(model)
    if arms:
        # Above, in as many lines as the names need.
        axis.legend(ncols=min(len(arms), _columns(arms)), loc="lower left", bbox_to_anchor=(0, 1.0), fontsize=8)
