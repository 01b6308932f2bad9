"""Arms at nearly the same price: pairs whose held-out losses lie close together, and what one of them has over the other. Pure: frames in, frames out.

The price is held-out loss alone, to within LOSS_MATCH: what a pair's `loss_ratio` leaves may still be price, and figures/price shows all arms.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from presto_bench import analysis, coercion, stats
from presto_bench.checks import LOSS_MATCH

COMPARED = ["attack", "variant", "judge", "value", "low", "high", "n", "p_seeds"]
COLUMNS = ["model", "reference", "treated", "loss_ratio", "endpoint", *COMPARED]
SCORE, NET_BITS = "score", "net_bits"


class Pair(NamedTuple):
    """Two arms of a model; loss_ratio: treated's held-out loss over reference's."""

    model: str
    reference: str
    treated: str
    loss_ratio: float


def table(
    graded: pd.DataFrame, ranks: pd.DataFrame, utility: pd.DataFrame, pairs: Sequence[tuple[str, str]], resamples: int
) -> pd.DataFrame:
    """What `treated` has over `reference`, for each of `pairs` at the same price: more is safer in every row. utility: with `task_kind`.

    endpoint `score`: reference - treated, by attack; `net_bits`: treated - reference, coercion bits a token net of damage.
    """
    frames = []
    for pair in same_price(utility, pairs):
        scores = analysis.comparisons(graded[graded["model"] == pair.model], pair.reference, pair.treated, resamples)
        found = [scores.assign(endpoint=SCORE), _bits(ranks[ranks["model"] == pair.model], pair, resamples)]
        frames += [part.assign(**pair._asdict()) for part in found if len(part)]
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS) if frames else pd.DataFrame(columns=COLUMNS)


def same_price(utility: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> list[Pair]:
    """Those of `pairs` whose held-out losses differ by LOSS_MATCH or less; one whose loss was not measured is in none."""
    measured = utility[utility["task_kind"] == "answer_loss"]
    measured = measured[measured["task"].isin(measured["task"].head(1))]  # one task: losses of two have no ratio
    losses = measured.set_index(["model", "arm"])["mean"]
    found = [
        Pair(model, reference, treated, losses[model, treated] / losses[model, reference])
        for model in losses.index.unique("model")
        for reference, treated in pairs
        if (model, reference) in losses and (model, treated) in losses
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
