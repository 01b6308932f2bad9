"""Arms at nearly the same price: pairs whose held-out losses lie close together, and what one of them has over the other. Pure: frames in, frames out.

Price means held-out loss only, and a pair's losses may differ by up to LOSS_MATCH. The remaining difference
(`loss_ratio`) may explain part of a gain; figures/price shows all arms.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from presto_bench.analysis import coercion, scores, stats
from presto_bench.analysis.checks import LOSS_MATCH

COMPARED = ["attack", "variant", "judge", "value", "low", "high", "n", "p_seeds"]
COLUMNS = ["model", "reference", "treated", "loss_ratio", "loss_low", "loss_high", "endpoint", *COMPARED]
SCORE, NET_BITS = "score", "net_bits"


class Pair(NamedTuple):
    """Two arms of a model; loss_ratio: treated's held-out loss over reference's, with its interval over items and seeds."""

    model: str
    reference: str
    treated: str
    loss_ratio: float
    loss_low: float
    loss_high: float


def table(
    graded: pd.DataFrame, ranks: pd.DataFrame, losses: pd.DataFrame, pairs: Sequence[tuple[str, str]], resamples: int
) -> pd.DataFrame:
    """What `treated` has over `reference`, for each of `pairs` at the same price: more is safer in every row. losses: see `same_price`.

    endpoint `score`: reference - treated, by attack; `net_bits`: treated - reference, coercion bits a token net of damage.
    """
    frames = []
    for pair in same_price(losses, pairs, resamples):
        compared = scores.comparisons(graded[graded["model"] == pair.model], pair.reference, pair.treated, resamples)
        found = [compared.assign(endpoint=SCORE), _bits(ranks[ranks["model"] == pair.model], pair, resamples)]
        frames += [part.assign(**pair._asdict()) for part in found if len(part)]
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS) if frames else pd.DataFrame(columns=COLUMNS)


def same_price(losses: pd.DataFrame, pairs: Sequence[tuple[str, str]], resamples: int) -> list[Pair]:
    """Those of `pairs` whose held-out losses differ by LOSS_MATCH or less; one whose loss was not measured is in none.

    losses: every item of the answer_loss tasks (TABLES["utility"]); of several such tasks a model's first is its price.
    """
    first = losses[losses["task"] == losses.groupby("model")["task"].transform("first")]
    found = []
    for model, items in first.groupby("model", sort=False):
        measured = scores.utility_table(items, resamples).dropna(subset="mean")["arm"]
        grids = {arm: scores.weighted(items[items["arm"] == arm]) for arm in measured}
        known = [pair for pair in pairs if set(pair) <= set(grids)]
        ratios = [stats.weighted_ratio_interval(grids[treated], grids[reference], resamples) for reference, treated in known]
        found += [
            Pair(str(model), *pair, ratio.value, ratio.low, ratio.high) for pair, ratio in zip(known, ratios, strict=True)
        ]
    return [pair for pair in found if 1 / LOSS_MATCH <= pair.loss_ratio <= LOSS_MATCH]


def _bits(ranks: pd.DataFrame, pair: Pair, resamples: int) -> pd.DataFrame:
    """One row; none where an arm's texts were not measured."""
    costs = coercion.per_text(ranks)
    treated, reference = (coercion.net_grids(costs, arm) for arm in (pair.treated, pair.reference))
    if any(grid.empty for grid in (*treated, *reference)):
        return pd.DataFrame()
    gain = coercion.net_gain(treated, reference, resamples)
    interval = gain.interval
    return pd.DataFrame(
        [
            {
                "endpoint": NET_BITS,
                "value": interval.value,
                "low": interval.low,
                "high": interval.high,
                "n": interval.n,
                "p_seeds": stats.sign_flip(gain.seeds),
            }
        ]
    )
