"""What the causal test says: how a text's cost changes when attention to the prefill is changed, beside its sham. Pure: frames in, frames out."""

import pandas as pd

from presto_bench.analysis import stats
from presto_bench.config.causal import UNPATCHED

COLUMNS = ["model", "arm", "role", "patch", "span", "first_layer", "last_layer", "change", "low", "high", "n", "moved"]


def table(causal: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Change in bits a token against the pass without a patch, paired by text, with its interval; moved: mean change of mass on the span.

    Below 0 the text has become easier to force. span: the prefill, or a sham that was moved by as much.
    """
    rows = []
    plain = causal[causal["patch"] == UNPATCHED]
    keys = ["model", "arm", "role", "patch", "span", "first_layer", "last_layer"]
    for key, group in causal[causal["patch"] != UNPATCHED].groupby(keys, sort=False):
        model, arm, role = key[:3]
        before = plain[(plain["model"] == model) & (plain["arm"] == arm) & (plain["role"] == role)]
        patched, whole = (stats.grid(part.assign(score=part["bits"])) for part in (group, before))
        change = stats.difference_interval(patched, whole, resamples)
        cell = {"change": change.value, "low": change.low, "high": change.high, "n": change.n, "moved": group["moved"].mean()}
        rows.append(dict(zip(keys, key, strict=True)) | cell)
    return pd.DataFrame(rows, columns=COLUMNS)
