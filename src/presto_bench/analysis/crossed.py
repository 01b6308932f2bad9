"""Alignment seed and training seed combined in one number, so that grids of seeds x requests need no third axis."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

STEP = 100_000  # seed of a pooled run = number of its alignment x STEP + training seed
UNTRAINED = 0  # the one training seed of an arm that is not trained
ABSENT = -1  # no run's seed


def pooled(frame: pd.DataFrame, pools: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The frame with each pool's models under the pool's name; which of them it was goes into the seed."""
    if not pools or frame.empty:
        return frame
    names = {model: pool for pool, models in pools.items() for model in models}
    numbers = {model: i for models in pools.values() for i, model in enumerate(models)}
    inside = frame["model"].isin(list(names))
    found = frame.assign(model=frame["model"].map(names).where(inside, frame["model"]))
    if "seed" in frame:
        found["seed"] = frame["seed"] + frame["model"].map(numbers).fillna(0).astype(int) * STEP
    return found


def alignment(seed: int) -> int:
    return seed // STEP


def partner(seeds: Sequence[int], wanted: int) -> int | None:
    """The seed that stands for `wanted` in an arm with these seeds: itself; else the untrained one of the same alignment; else the only one."""
    if wanted in seeds:
        return wanted
    untrained = alignment(wanted) * STEP + UNTRAINED
    if untrained in seeds:
        return untrained
    return seeds[0] if len(seeds) == 1 else None


def seed_weights(seeds: Sequence[int], resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples, n) bootstrap weights of seeds: how often each one is drawn.

    With several alignments, alignments and training seeds are drawn independently; a run's weight is the product of
    both.
    """
    alignments = sorted({alignment(seed) for seed in seeds})
    if len(alignments) == 1:
        return _drawn(len(seeds), resamples, rng)
    trainings = sorted({seed % STEP for seed in seeds})
    by_alignment, by_training = _drawn(len(alignments), resamples, rng), _drawn(len(trainings), resamples, rng)
    rows = [alignments.index(alignment(seed)) for seed in seeds]
    columns = [trainings.index(seed % STEP) for seed in seeds]
    return by_alignment[:, rows] * by_training[:, columns]


def _drawn(n: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples)


def by_alignment(seeds: Sequence[int], values: np.ndarray) -> np.ndarray:
    """Values of runs as they are, or where there are several alignments each one's mean: runs of one alignment are not independent."""
    numbers = [alignment(seed) for seed in seeds]
    if len(set(numbers)) == 1:
        return values
    return pd.Series(values).groupby(numbers).mean().to_numpy(float)
