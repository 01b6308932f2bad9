"""Every number of the tables as a LaTeX macro, so that a paper cites the run and not a copy: \\PBScoresSmollmTwoDaGuided…Mean."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from presto_bench.config.parts import in_letters

PREFIX = "PB"
KEYS = (
    "model",
    "arm",
    "attack",
    "variant",
    "judge",
    "role",
    "split",
    "task",
    "name",
    "place",
    "what",
    "picker",
    "weights",
)  # columns that name a row


def name(*parts: str) -> str:
    """A macro's name: letters alone, digits spelled, each word with a capital."""
    return PREFIX + in_letters(" ".join(parts))


def value(number: object) -> str:
    """As a table shows it: whole numbers whole, others with three digits behind the point, nothing as a dash."""
    if isinstance(number, bool | np.bool_):
        return "yes" if number else "no"
    if pd.isna(number):
        return "--"
    return f"{int(number)}" if float(number).is_integer() and abs(number) >= 1 else f"{float(number):.3f}"


def lines(tables: Mapping[str, pd.DataFrame]) -> str:
    """One \\newcommand a number, named by its row and column; two that would have one name are an error, not a choice."""
    found: dict[str, str] = {}
    for title, frame in tables.items():
        numbers = [c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c])]
        keys = [column for column in frame.columns if column in KEYS]
        for row in frame.to_dict("records"):
            for column in numbers:
                macro = name(title, *(row[key] for key in keys), column)
                if macro in found:
                    raise ValueError(f"two numbers would be called \\{macro}: {title}, {[row[key] for key in keys]}, {column}")
                found[macro] = value(row[column])
    return "".join(f"\\newcommand{{\\{macro}}}{{{text}}}\n" for macro, text in found.items())
