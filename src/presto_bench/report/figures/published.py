"""Published values, laid over ours and never taken for them: hollow marks, with their source in the legend."""

import pandas as pd

from presto_bench.report import published
from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data


def mark(axis, data: Data, measure: str, name: str, variant: str = "") -> None:
    """Hollow marks beside our own points, for models that are known by their hub id and numbers that were measured in the paper's way.

    name, variant: of our attack or task.
    """
    arms, told = style.every_arm(data), False
    for i, model in enumerate(data.models):
        for row in _rows(data, measure, name, variant, data.hub.get(model)).itertuples():
            place = i + style.shift(data.arms[model], row.arm) + 0.03
            look = {**style.look(arms, row.arm), "markerfacecolor": "none", "linestyle": "none"}
            spread = None if pd.isna(row.spread) else row.spread
            label = None if told else f"published: {published.SOURCE}"
            axis.errorbar([place], [row.value], yerr=spread, label=label, capsize=1, **look)
            told = True


def _rows(data: Data, measure: str, name: str, variant: str, hub_id: str | None) -> pd.DataFrame:
    """One row a published cell: what two of the paper's items print alike counts once."""
    found = data.table("published")
    same = [(attack, setting) for *ours, attack, setting in data.beside if ours == [measure, name, variant]]
    if not same or hub_id is None:
        return found.iloc[:0]
    attack, setting = same[0]
    found = found[(found["measure"] == measure) & (found["model"] == hub_id)]
    found = found[(found["attack"].fillna("") == attack) & (found["setting"].fillna("") == setting)]
    return found.drop_duplicates(["arm"], keep="last")
