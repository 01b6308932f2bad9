"""What the paper prints, as data (data/published.csv; arXiv 2512.05518)."""

from pathlib import Path

import pandas as pd

from presto_bench.tables import read_csv

SOURCE = "Vega & Singh, arXiv 2512.05518"
FILE = Path(__file__).parent / "data/published.csv"


def values(path: Path = FILE) -> pd.DataFrame:
    """item, model (hub id), arm, measure, attack, setting, value, spread and over what, n, page, how it was read. Rates lie in [0, 1]; entropy in nats."""
    return read_csv(path)
