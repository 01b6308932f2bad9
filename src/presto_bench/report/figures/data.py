"""What a figure gets: the CSV tables it needs, and the experiment's names in their order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Data:
    """Input of a figure: its tables and the experiment's names.

    arms: by model, in the config's order. rap: (attack, variant) of the main rank-assisted attack. graders: judges
    whose scores can be compared. ranked: all attacks with a k; picked: those with a trained or human picker.
    entropy_sweep: arm -> (arm of the headline that it belongs to, its refusals). methods: arm -> method (methods.py).
    beside: numbers that can be compared with published ones: (measure, our attack or task, its variant, the paper's
    attack, the paper's setting). tasks: name -> kind. hub: model -> its id on the hub, where it has one.
    """

    tables: Mapping[str, pd.DataFrame]
    models: Sequence[str]
    arms: Mapping[str, Sequence[str]]
    tasks: Mapping[str, str]
    judge: str
    rap: tuple[str, str]
    headline: tuple[str, str]
    ranked: Sequence[str] = ()
    picked: Sequence[str] = ()
    hub: Mapping[str, str] = field(default_factory=dict)
    entropy_sweep: Mapping[str, Sequence[str]] = field(default_factory=dict)
    graders: Sequence[str] = ()
    methods: Mapping[str, str] = field(default_factory=dict)
    beside: Sequence[Sequence[str]] = ()

    def table(self, name: str) -> pd.DataFrame:
        return self.tables[name]

    @staticmethod
    def cell(table: pd.DataFrame, **where: str) -> dict[str, Any] | None:
        """The first row where every named column has the given value."""
        for column, value in where.items():
            table = table[table[column] == value]
        return None if table.empty else table.iloc[0].to_dict()
