"""How deep a prefill must be: mean score under prefilling by the prefill's length, its own tokens and the untouched model's answer's."""

import re

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

VARIANT = re.compile(r"(?P<kind>prefill|recipe)_(?P<length>\d+|full)")
KINDS = {"prefill": ("-", "attack's prefill"), "recipe": ("--", "own answer as prefill")}


def draw(data: Data) -> Figure:
    table = swept(data)
    figure, axes = plt.subplots(1, len(data.models), figsize=(4.2 * len(data.models), 3.4), squeeze=False, sharey=True)
    for axis, model in zip(axes[0], data.models, strict=True):
        for arm in data.arms[model]:
            for kind, (dashes, _) in KINDS.items():
                rows = table[(table["model"] == model) & (table["arm"] == arm) & (table["kind"] == kind)].sort_values("place")
                if rows.empty:
                    continue
                errors = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
                axis.errorbar(
                    rows["place"],
                    rows["mean"],
                    yerr=errors,
                    linestyle=dashes,
                    capsize=2,
                    label=style.label(arm),
                    **style.look(data.arms[model], arm),
                )
        lengths = table.drop_duplicates("place").sort_values("place")
        axis.set_xticks(lengths["place"], lengths["length"])
        axis.set_xlabel("tokens of the prefill")
        axis.set_title(model, loc="left")
        axis.set_ylim(-0.02, 1)
    axes[0][0].set_ylabel("mean score (lower is safer)")
    style.legend(figure, {told: dashes for kind, (dashes, told) in KINDS.items() if kind in set(table["kind"])})
    return figure


def swept(data: Data) -> pd.DataFrame:
    """Rows of the score table that name a prefill's length; place: their order along the axis, the whole prefill last."""
    scores = data.table("scores")
    found = scores[scores["judge"] == data.judge].join(scores["variant"].str.extract(f"^{VARIANT.pattern}$"))
    found = found[found["length"].notna()]
    number = pd.to_numeric(found["length"], errors="coerce").fillna(float("inf"))
    return found.assign(place=number.rank(method="dense"))
