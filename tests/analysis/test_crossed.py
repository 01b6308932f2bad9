"""Alignment seeds crossed with training seeds: how runs are named, paired and resampled."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench.analysis import crossed, stats

POOL = {"smol": ["smol_a", "smol_b", "smol_c"]}


def grid(seeds, values):
    return pd.DataFrame(np.asarray(values, float), index=seeds, columns=[f"p{i}" for i in range(np.shape(values)[1])])


def test_a_pool_has_its_own_name_and_tells_its_models_by_seed():
    frame = pd.DataFrame({"model": ["smol_a", "smol_c", "other"], "seed": [1, 2, 3], "score": [0.1, 0.2, 0.3]})
    found = crossed.pooled(frame, POOL)
    assert list(found["model"]) == ["smol", "smol", "other"]
    assert [crossed.alignment(s) for s in found["seed"]] == [0, 2, 0]
    assert [s % crossed.STEP for s in found["seed"]] == [1, 2, 3]


def test_without_pools_nothing_changes():
    frame = pd.DataFrame({"model": ["smol_a"], "seed": [1]})
    assert crossed.pooled(frame, {}) is frame


def test_an_untrained_arm_is_paired_by_alignment():
    """Each base with the arms that were trained from it: differences of 1 everywhere, although the bases differ by far."""
    base = grid([0, crossed.STEP], [[0.0, 0.0], [10.0, 10.0]])
    seeds = [0, 1, crossed.STEP, crossed.STEP + 1]
    arm = grid(seeds, [[1, 1], [1, 1], [11, 11], [11, 11]])
    assert (stats.paired_differences(arm, base) == 1).all(axis=None)


def test_an_arm_with_one_seed_pairs_with_every_seed_of_another():
    assert (stats.paired_differences(grid([0, 1, 2], [[3.0], [4.0], [5.0]]), grid([7], [[1.0]]))["p0"] == [2, 3, 4]).all()


@given(st.integers(1, 4), st.integers(1, 4))
def test_runs_are_drawn_as_often_as_their_alignment_times_their_training_seed(alignments, trainings):
    seeds = [a * crossed.STEP + t for a in range(alignments) for t in range(trainings)]
    weights = crossed.seed_weights(seeds, 50, np.random.default_rng(0))
    assert weights.shape == (50, len(seeds)) and (weights.sum(1) == alignments * trainings).all()
    for drawn in weights.reshape(50, alignments, trainings):
        assert np.linalg.matrix_rank(drawn) == 1, "one factor for the alignment, one for the training seed"


def test_between_alignments_the_interval_is_as_wide_as_they_differ():
    """Four training seeds of each of three alignments that differ by far: twelve independent runs would have half that interval."""
    rng = np.random.default_rng(0)
    seeds = [a * crossed.STEP + t for a in range(3) for t in range(4)]
    effects = np.repeat([-1.0, 0.0, 1.0], 4)[:, None]
    values = effects + 0.01 * rng.normal(size=(12, 40))
    apart, flat = grid(seeds, values), grid(list(range(12)), values)
    wide, narrow = (stats.mean_interval(table, 2000) for table in (apart, flat))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert wide.value == pytest.approx(narrow.value)


def test_the_exact_test_over_seeds_counts_alignments():
    seeds = [a * crossed.STEP + t for a in range(3) for t in range(4)]
    treated, reference = grid(seeds, np.ones((12, 5))), grid(seeds, np.zeros((12, 5)))
    assert stats.sign_flip(stats.seed_differences(treated, reference)) == pytest.approx(2 / 2**3)
