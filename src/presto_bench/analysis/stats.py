"""Intervals and differences over held-out requests, paired, with training seeds as a second level."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from presto_bench import draws
from presto_bench.analysis import crossed

LEVEL = 0.95
NORMAL = 1.959964  # standard errors on each side of a mean that make LEVEL
SMALLEST_DENOMINATOR = 0.02  # no ratio where the denominator's lower bound is below this


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval. n: requests behind it; missing: grades that are not there."""

    value: float
    low: float
    high: float
    n: int
    missing: int = 0


def told(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """A value with its bounds as text, "0.40 [0.30, 0.50]"; a dash where it was not measured. sign: "+" shows both signs."""
    if value is None or pd.isna(value):
        return "–"
    if low is None or high is None or pd.isna(low):
        return f"{value:{sign}.2f}"
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


@dataclass(frozen=True)
class Ratio:
    """value is None where `reason` says that a ratio means nothing."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None


@dataclass(frozen=True)
class Gain:
    """What one arm has over another: the mean difference, its resamples, each training seed's own, and how many requests are behind it."""

    value: float
    draws: np.ndarray
    seeds: np.ndarray
    n: int

    @property
    def interval(self) -> Interval:
        return of_draws(self.value, self.draws, self.n)


class Weighted(NamedTuple):
    """Two seeds x requests grids: what was measured (NaN: missing), and what each request weighs."""

    values: pd.DataFrame
    weights: pd.DataFrame


def grid(scores: pd.DataFrame) -> pd.DataFrame:
    """Seeds x requests of mean scores over samples, from columns seed, prompt_id, score; NaN where none is left."""
    return scores.pivot_table(index="seed", columns="prompt_id", values="score", aggfunc="mean", dropna=False)


def mean_interval(table: pd.DataFrame, resamples: int, missing: int = 0) -> Interval:
    """Mean of a seeds x requests grid; both levels are resampled."""
    values = _resampled([table], resamples)[0]
    return Interval(_mean(table), *_bounds(values), table.shape[1], missing)


def difference_interval(first: pd.DataFrame, second: pd.DataFrame, resamples: int) -> Interval:
    """first - second, paired by request and seed; an untrained arm's single seed pairs with every seed."""
    first, second = _paired(first, second)
    a, b = _resampled([first, second], resamples)
    return Interval(_mean(first) - _mean(second), *_bounds(a - b), first.shape[1])


def of_draws(value: float, draws: np.ndarray, n: int) -> Interval:
    """A value with the quantiles of its resamples."""
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), n)


def gain(treated: pd.DataFrame, reference: pd.DataFrame, resamples: int) -> Gain:
    """treated - reference, paired as in difference_interval."""
    first, second = _paired(treated, reference)
    a, b = _resampled([first, second], resamples)
    return Gain(_mean(first) - _mean(second), a - b, seed_differences(treated, reference), first.shape[1])


def weighted_gain(treated: Weighted, reference: Weighted, resamples: int) -> Gain:
    """Weighted mean of treated - that of reference, paired; a request is resampled with its weights."""
    first, second = _weighted_means_of_pair(treated, reference, resamples)
    return Gain(first.value - second.value, first.draws - second.draws, first.seeds - second.seeds, first.n)


def ratio_interval(first: pd.DataFrame, second: pd.DataFrame, resamples: int) -> Ratio:
    """mean(first) / mean(second), paired; refused where the denominator may be next to nothing."""
    first, second = _paired(first, second)
    a, b = _resampled([first, second], resamples)
    lowest = _bounds(b)[0]
    if not lowest >= SMALLEST_DENOMINATOR:
        reason = f"the denominator's lower bound {lowest:.3f} is below {SMALLEST_DENOMINATOR}"
        return Ratio(None, None, None, first.shape[1], reason)
    low, high = _bounds(np.divide(a, b, out=np.full_like(a, np.inf), where=b > 0))
    if not np.isfinite([low, high]).all():
        return Ratio(None, None, None, first.shape[1], "the denominator is 0 in too many resamples")
    return Ratio(_mean(first) / _mean(second), low, high, first.shape[1])


def weighted_mean_interval(values: pd.DataFrame, weights: pd.DataFrame, resamples: int) -> Interval:
    """sum(value * weight) / sum(weight) of two seeds x requests grids; a request is resampled with its weight."""
    scaled = values * weights
    a, b = _resampled([scaled, weights], resamples)
    return Interval(_mean(scaled) / _mean(weights), *_bounds(a / b), values.shape[1])


def weighted_ratio_interval(first: Weighted, second: Weighted, resamples: int) -> Interval:
    """Weighted mean of `first` over that of `second`, paired by request and seed; a request is resampled with its weights."""
    above, below = _weighted_means_of_pair(first, second, resamples)
    return Interval(above.value / below.value, *_bounds(above.draws / below.draws), above.n)


def weighted_ratio(treated: Weighted, reference: Weighted, resamples: int) -> Gain:
    """Weighted mean of treated over that of reference, paired; of each seed how far its own ratio is from 1."""
    above, below = _weighted_means_of_pair(treated, reference, resamples)
    return Gain(above.value / below.value, above.draws / below.draws, above.seeds / below.seeds - 1, above.n)


def _weighted_means_of_pair(first: Weighted, second: Weighted, resamples: int) -> list[Gain]:
    """Each side's weighted mean, its resamples and each seed's own, over what both have."""
    totals = _paired(first.values * first.weights, second.values * second.weights)
    weights = _paired(*(table.weights.where(table.values.notna()) for table in (first, second)))
    drawn = _resampled([*totals, *weights], resamples)
    return [
        Gain(
            _mean(total) / _mean(weight),
            a / b,
            crossed.by_alignment(list(total.index), (total.sum(axis=1) / weight.sum(axis=1)).to_numpy(float)),
            total.shape[1],
        )
        for total, weight, a, b in zip(totals, weights, drawn[:2], drawn[2:], strict=True)
    ]


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p value of "no difference": exact sign-flip test on one mean difference per training seed.

    With n seeds the smallest possible p value is 2 / 2^n. nan for more than 20 seeds or for none.
    """
    values = differences[~np.isnan(differences)]
    if not 1 <= len(values) <= 20:
        return float("nan")
    signs = 1 - 2 * ((np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1)
    means = np.abs(signs @ values)
    return float((means >= np.abs(values.sum()) - 1e-12).mean())


def paired_differences(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """first - second by seed and request."""
    first, second = _paired(first, second)
    return first - second


def shared_seed_draws(tables: list[pd.DataFrame], resamples: int, together: Sequence[tuple[int, int]] = ()) -> list[np.ndarray]:
    """For each seeds x requests grid an array (1 + resamples,): the mean, then its resamples.

    All grids share the resampled training seeds, so that a seed's common effect cancels in differences. Requests are
    resampled per grid; but for each pair (i, j) in `together`, grid j uses the draws of grid i: they have the same
    requests.
    """
    like = {j: i for i, j in together}
    rng = draws.generator("shared seeds", len(tables[0]), *(table.shape[1] for table in tables), resamples)
    seed_weights = crossed.seed_weights(list(tables[0].index), resamples, rng)
    drawn: list[np.ndarray] = []
    found = []
    for i, table in enumerate(tables):
        n = table.shape[1]
        drawn.append(drawn[like[i]] if i in like else rng.multinomial(n, np.full(n, 1 / n), size=resamples))
        found.append(np.concatenate([[_mean(table)], _weighted_means(table.to_numpy(float), seed_weights, drawn[i])]))
    return found


def seed_differences(first: pd.DataFrame, second: pd.DataFrame) -> np.ndarray:
    """first - second of each training seed, paired by request; of each alignment where there are several."""
    first, second = _paired(first, second)
    return crossed.by_alignment(list(first.index), (first - second).mean(axis=1).to_numpy(float))


def _paired(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both on the same seeds and requests; a pair with a missing half counts on neither side. An untrained arm's seed pairs with every seed of its alignment."""
    seeds = first.index if len(first) >= len(second) else second.index
    requests = first.columns.intersection(second.columns)

    def spread(table: pd.DataFrame) -> pd.DataFrame:
        partners = [crossed.partner(list(table.index), seed) for seed in seeds]
        return table.reindex([crossed.ABSENT if one is None else one for one in partners])[requests].set_axis(seeds)

    first, second = spread(first), spread(second)
    both = first.notna() & second.notna()
    kept = both.columns[both.any()]
    return first.where(both)[kept], second.where(both)[kept]


def _resampled(tables: list[pd.DataFrame], resamples: int) -> list[np.ndarray]:
    """Means of each grid over the same resamples of requests and of seeds."""
    seeds, requests = tables[0].shape
    if not requests:
        return [np.full(resamples, np.nan) for _ in tables]
    rng = draws.generator("bootstrap", seeds, requests, resamples)
    weights = rng.multinomial(requests, np.full(requests, 1 / requests), size=resamples)
    seed_weights = crossed.seed_weights(list(tables[0].index), resamples, rng)
    return [_weighted_means(table.to_numpy(float), seed_weights, weights) for table in tables]


def _weighted_means(values: np.ndarray, seed_weights: np.ndarray, weights: np.ndarray) -> np.ndarray:
    present = ~np.isnan(values)
    totals = np.einsum("bs,sp,bp->b", seed_weights, np.where(present, values, 0.0), weights)
    counts = np.einsum("bs,sp,bp->b", seed_weights, present.astype(float), weights)
    return np.divide(totals, counts, out=np.full(len(totals), np.nan), where=counts > 0)


def _mean(table: pd.DataFrame) -> float:
    values = table.to_numpy(float)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _bounds(values: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    tail = (1 - LEVEL) / 2
    # Nearest: between a number and infinity there is nothing to interpolate.
    low, high = np.nanquantile(values, [tail, 1 - tail], method="nearest")
    return float(low), float(high)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction (Holm 1979)."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    corrected = np.empty_like(stepped)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
