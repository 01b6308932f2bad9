"""How long people took for what they kept (Figure 9 of the paper). Pure: frames in, frames out."""

import numpy as np
import pandas as pd

from presto_bench.analysis import stats

ALL = "all"
COLUMNS = ["model", "arm", "attack", "level", "mean", "sd", "n", "low", "high"]


def table(sessions: pd.DataFrame) -> pd.DataFrame:
    """Seconds per *final* token, backtracks discounted: mean and standard deviation over people, by model, arm and attack; n: people.

    sessions: model, arm, attack, person, level, seconds, tokens (kept at the end), one row a finished session. level `all`: everybody; then each level that a
    study told. low, high: 95 % of the mean; NaN with one person.
    """
    if sessions.empty:
        return pd.DataFrame(columns=COLUMNS)
    told = sessions[sessions["level"] != ""]
    return _by_level(pd.concat([sessions.assign(level=ALL), told], ignore_index=True))


def _by_level(sessions: pd.DataFrame) -> pd.DataFrame:
    keys = ["model", "arm", "attack", "level"]
    people = sessions.groupby([*keys, "person"], sort=False)[["seconds", "tokens"]].sum()
    people = people[people["tokens"] > 0]
    each = (people["seconds"] / people["tokens"]).groupby(keys, sort=False)
    found = each.agg(mean="mean", sd=lambda own: own.std(ddof=1), n="size").reset_index()
    half = stats.NORMAL * found["sd"].astype(float) / np.sqrt(found["n"].astype(float))
    return found.assign(low=found["mean"] - half, high=found["mean"] + half)[COLUMNS]
