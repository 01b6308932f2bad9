"""How much of what was to stay secret any picker could reach: by picks below rank 1, and by candidates k beside the pickers we have."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.analysis.reach import ANY
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

MARKS = {"guided": "*", "autorap": "P"}


def draw(data: Data) -> Figure:
    """One line of panels a model: reached by budget of picks at the first k, and by k with any budget; pickers stand beside as open marks."""
    table = data.table("reach")
    figure, axes = plt.subplots(len(data.models), 2, figsize=(8.5, 3.4 * len(data.models)), squeeze=False)
    for line, model in zip(axes, data.models, strict=True):
        rows = table[table["model"] == model]
        search = rows[rows["picker"] == ANY]
        first = search.iloc[0] if len(search) else None
        if first is None:
            continue
        mine = search[search["start"] == first["start"]]
        _by_budget(line[0], data, model, mine[mine["k"] == first["k"]])
        _by_k(
            line[1], data, model, mine[mine["budget"].isna()], rows[(rows["picker"] != ANY) & (rows["start"] == first["start"])]
        )
        line[0].set_ylabel(f"{model}: share reached (lower is safer)")
        line[0].set_title(f"any picker, k = {first['k']}, behind the {first['start']}", loc="left")
        line[1].set_title("any picker (lines) and the pickers we have (open marks)", loc="left", fontsize=8)
        line[1].legend(fontsize=7)
        for axis in line:
            axis.set_ylim(-0.03, 1.03)
    return figure


def _by_budget(axis, data: Data, model: str, rows: pd.DataFrame) -> None:
    """Budgets side by side, `any` at the right."""
    budgets = sorted(rows["budget"].dropna().unique())
    places = {budget: i for i, budget in enumerate(budgets)}
    rows = rows.assign(x=rows["budget"].map(places).fillna(len(budgets)))
    for arm in data.arms[model]:
        _line(axis, data, model, arm, rows[rows["arm"] == arm].sort_values("x"), "x")
    axis.set_xticks(range(len(budgets) + 1), [*(f"{budget:.0f}" for budget in budgets), "any"])
    axis.set_xlabel("picks below rank 1 that are allowed")


def _by_k(axis, data: Data, model: str, search: pd.DataFrame, pickers: pd.DataFrame) -> None:
    for arm in data.arms[model]:
        _line(axis, data, model, arm, search[search["arm"] == arm].sort_values("k"), "k")
        for picker, own in pickers[pickers["arm"] == arm].groupby("picker", sort=False):
            axis.plot(
                own["k"],
                own["mean"],
                linestyle="none",
                marker=MARKS.get(picker, "X"),
                markersize=8,
                markerfacecolor="none",
                color=style.look(data.arms[model], arm)["color"],
                label=f"{style.label(arm)}, {picker}",
            )
    axis.set_xscale("log")
    axis.set_xticks(sorted(search["k"].unique()), sorted(search["k"].unique()))
    axis.minorticks_off()
    axis.set_xlabel("candidates k")


def _line(axis, data: Data, model: str, arm: str, rows: pd.DataFrame, by: str) -> None:
    if rows.empty:
        return
    if rows["undecided"].any():  # what those searches may still have reached
        most = rows["mean"] + rows["undecided"] / rows["n"]
        axis.fill_between(rows[by], rows["mean"], most, alpha=0.2, color=style.look(data.arms[model], arm)["color"])
    errors = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
    axis.errorbar(
        rows[by],
        rows["mean"],
        yerr=errors,
        capsize=2,
        markersize=4,
        label=style.label(arm),
        **style.look(data.arms[model], arm),
    )
