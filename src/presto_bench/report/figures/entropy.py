"""The paper's own explanation as an experiment: the more the refusals vary that an arm is taught, the deeper its ranks, with PRESTO or without."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.analysis.coercion import HARMFUL, NET
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def draw(data: Data) -> Figure:
    """A line of panels a model: what an arm's ranks, bits and score are, against the entropy of the refusals that it was taught."""
    figure, axes = plt.subplots(len(data.models), 3, figsize=(10, 3.2 * len(data.models)), squeeze=False)
    for line, model in zip(axes, data.models, strict=True):
        for axis, (rows, title) in zip(line, _panels(data, model), strict=True):
            _panel(axis, data, model, rows)
            axis.set_title(title, loc="left", fontsize=8)
            axis.set_xlabel("entropy of the refusals taught, bits")
        line[0].set_ylabel(model)
        line[0].legend(fontsize=7)
    return figure


def _panels(data: Data, model: str) -> list[tuple[pd.DataFrame, str]]:
    """(rows with arm, mean, low, high, title) of each panel."""
    ranks, bits, scores = (data.table(name) for name in ("ranks", "bits", "scores"))
    top = ranks[(ranks["model"] == model) & (ranks["role"] == HARMFUL)].rename(columns={"in_top20": "mean"})
    top = top.assign(low=top["mean"], high=top["mean"])
    net = bits[(bits["model"] == model) & (bits["what"] == NET)].rename(columns={"value": "mean"})
    attack, variant = data.rap
    won = scores[
        (scores["model"] == model)
        & (scores["attack"] == attack)
        & (scores["variant"] == variant)
        & (scores["judge"] == data.judge)
    ]
    return [
        (top, "harmful tokens in the top 20 (lower is safer)"),
        (net, "bits a token, net of damage (higher is safer)"),
        (won, f"{attack}: mean score (lower is safer)"),
    ]


def _panel(axis, data: Data, model: str, rows: pd.DataFrame) -> None:
    targets = data.table("targets")
    entropy = targets[targets["model"] == model].set_index("refusals")["text_bits"]
    found = rows.assign(
        series=rows["arm"].map({arm: series for arm, (series, _) in data.entropy_sweep.items()}),
        x=rows["arm"].map({arm: entropy.get(refusals) for arm, (_, refusals) in data.entropy_sweep.items()}),
    )
    for series in data.headline:
        part = found[found["series"] == series].sort_values("x")
        if part.empty:
            continue
        errors = [part["mean"] - part["low"], part["high"] - part["mean"]]
        axis.errorbar(
            part["x"], part["mean"], yerr=errors, capsize=2, label=style.label(series), **style.look(data.arms[model], series)
        )
        for i, (x, y, arm) in enumerate(zip(part["x"], part["mean"], part["arm"], strict=True)):
            where = {
                "xytext": (-3, 4 + 6 * i),
                "ha": "right" if i else "left",
            }  # arms of like entropy lie on each other
            axis.annotate(data.entropy_sweep[arm][1], (x, y), textcoords="offset points", fontsize=6, **where)
