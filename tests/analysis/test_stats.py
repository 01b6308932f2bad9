"""Intervals over held-out requests: paired, reproducible, covering; ratios only where they mean something."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presto_bench.analysis import stats


def grid(values, seeds=None):
    values = np.atleast_2d(np.asarray(values, float))
    return pd.DataFrame(values, index=seeds or range(len(values)), columns=[f"p{i:03d}" for i in range(values.shape[1])])


def test_the_interval_of_a_mean_covers_it_about_as_often_as_it_says():
    """300 samples of 50 from a known population: 95 % intervals must cover its mean in 89 to 99 % of cases."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        found = stats.mean_interval(grid(rng.beta(1, 3, 50)), resamples=400)
        covered += found.low <= 0.25 <= found.high
    assert 0.89 <= covered / 300 <= 0.99


def test_pairing_removes_what_both_arms_share():
    rng = np.random.default_rng(2)
    shared = rng.random(60)
    paired = stats.difference_interval(grid(shared + 0.1), grid(shared), resamples=500)
    assert paired.value == pytest.approx(0.1)
    assert paired.high - paired.low < 1e-9


def test_one_untrained_seed_pairs_with_every_seed():
    found = stats.difference_interval(grid([0.5, 0.5]), grid([[0.1, 0.3], [0.3, 0.5]], seeds=[3, 4]), resamples=200)
    assert found.value == pytest.approx(0.2)


def test_seeds_widen_the_interval():
    same = stats.mean_interval(grid([[0.5] * 30] * 3), 500)
    apart = stats.mean_interval(grid([[0.2] * 30, [0.5] * 30, [0.8] * 30]), 500)
    assert same.high - same.low == pytest.approx(0)
    assert apart.high - apart.low > 0.3


def test_a_ratio_by_hand_and_its_refusal_near_zero():
    found = stats.ratio_interval(grid([0.8] * 20), grid([0.2] * 20), 200)
    assert (found.value, found.low, found.high) == pytest.approx((4, 4, 4))
    refused = stats.ratio_interval(grid([0.8] * 20), grid([0.01] * 20), 200)
    assert refused.value is None
    assert "0.02" in refused.reason


def test_a_missing_grade_is_left_out_of_the_mean_and_of_nothing_else():
    found = stats.mean_interval(grid([0.2, np.nan, 0.4]), 200, missing=1)
    assert found.value == pytest.approx(0.3)
    assert (found.n, found.missing) == (3, 1)


def test_the_same_numbers_give_the_same_interval():
    values = grid(np.random.default_rng(3).random(40))
    assert stats.mean_interval(values, 300) == stats.mean_interval(values, 300)


def test_a_pair_with_a_missing_half_counts_on_neither_side():
    """Identical arms, a third of one's grades missing where scores are high: no difference may appear."""
    values = np.linspace(0, 1, 30)
    holed = np.where(values > 0.66, np.nan, values)
    found = stats.difference_interval(grid(values), grid(holed), 300)
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0))
    assert found.n == np.isfinite(holed).sum()


def test_a_weighted_mean_by_hand_and_no_wider_than_its_values():
    """Answers of very different lengths with equal losses: length is a weight, not a spread."""
    values, weights = grid([1.0] * 40), grid(np.linspace(15, 160, 40))
    found = stats.weighted_mean_interval(values, weights, 300)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
    found = stats.weighted_mean_interval(grid([1.0, 4.0]), grid([3.0, 1.0]), 300)
    assert found.value == pytest.approx(1.75)


def weighted(values, weights):
    return stats.Weighted(grid(values), grid(weights))


def test_a_ratio_of_weighted_means_by_hand():
    """(3 * 1 + 1 * 5) / 4 = 2 over (3 * 1 + 1 * 1) / 4 = 1; an item that one side lacks counts on neither, with its weight."""
    first = weighted([1.0, 5.0, 9.0], [3.0, 1.0, 7.0])
    second = weighted([1.0, 1.0, np.nan], [3.0, 1.0, 7.0])
    assert stats.weighted_ratio_interval(first, second, 100).value == pytest.approx(2)
    assert stats.weighted_ratio_interval(second, first, 100).value == pytest.approx(1 / 2)
    assert stats.weighted_ratio_interval(first, second, 100).n == 2


def test_a_gain_of_weighted_means_by_hand_over_all_and_seed_by_seed():
    """Seed 0: (3 * 1 + 1 * 5) / 4 = 2, seed 1: (3 * 3 + 1 * 7) / 4 = 4; against 1 and 1 of equal weights."""
    treated = stats.Weighted(grid([[1.0, 5.0], [3.0, 7.0]]), grid([[3.0, 1.0], [3.0, 1.0]]))
    reference = stats.Weighted(grid([[1.0, 1.0], [1.0, 1.0]]), grid([[3.0, 1.0], [3.0, 1.0]]))
    found = stats.weighted_gain(treated, reference, 200)
    assert found.value == pytest.approx(2)
    assert found.seeds == pytest.approx([1, 3])
    assert found.interval.low < found.value < found.interval.high
    assert found.n == 2


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=12), st.floats(-2, 2))
def test_with_equal_weights_a_weighted_gain_is_a_gain(values, shift):
    treated, reference = grid(values), grid([value - shift for value in values[::-1]])
    plain, ones = stats.gain(treated, reference, 50), treated * 0 + 1
    found = stats.weighted_gain(stats.Weighted(treated, ones), stats.Weighted(reference, ones), 50)
    assert (found.value, *found.draws, *found.seeds) == pytest.approx((plain.value, *plain.draws, *plain.seeds), abs=1e-9)


@given(st.lists(st.floats(0.5, 5), min_size=2, max_size=20), st.floats(0.5, 2))
def test_a_side_that_is_the_other_times_a_factor_has_that_factor_without_a_doubt(values, factor):
    """Paired: what both sides find hard in a request is no uncertainty, however much it is."""
    weights = list(range(1, len(values) + 1))
    first, second = weighted([value * factor for value in values], weights), weighted(values, weights)
    found = stats.weighted_ratio_interval(first, second, 50)
    assert (found.value, found.low, found.high) == pytest.approx((factor, factor, factor))


def test_the_seed_level_test_by_hand():
    """Three seeds alike: only all plus and all minus are as far out, 2 of 8. 0.3, 0.1, -0.1: only the two sums of 0.1 are nearer, 6 of 8."""
    assert stats.sign_flip(np.array([0.1, 0.1, 0.1])) == pytest.approx(2 / 8)
    assert stats.sign_flip(np.array([0.1, 0.1, -0.1])) == pytest.approx(1.0)
    assert stats.sign_flip(np.array([0.3, 0.1, -0.1])) == pytest.approx(6 / 8)
    assert stats.sign_flip(np.array([0.4])) == 1.0
    assert np.isnan(stats.sign_flip(np.array([])))


def test_the_seed_level_test_rejects_a_true_null_no_more_often_than_it_says():
    """500 nulls with 6 seeds: p <= 0.05 in at most 5 % (binomial standard error 1 %)."""
    rng = np.random.default_rng(4)
    rejected = np.mean([stats.sign_flip(rng.normal(0, 1, 6)) <= 0.05 for _ in range(500)])
    assert rejected <= 0.05 + 3 * 0.0098


def test_seed_differences_are_paired_by_request():
    found = stats.seed_differences(grid([[0.5, 0.7], [0.5, np.nan]], [1, 2]), grid([[0.1, 0.1], [0.2, 0.9]], [1, 2]))
    assert found == pytest.approx([0.5, 0.3])


SCORES = st.lists(st.sampled_from([0.0, 0.0, 0.125, 0.5, 1.0]), min_size=1, max_size=9)


@given(SCORES, SCORES)
@settings(max_examples=150)
def test_a_ratio_is_finite_or_refused_with_a_reason_however_few_and_small_the_scores(first, second):
    n = min(len(first), len(second))
    found = stats.ratio_interval(grid(first[:n]), grid(second[:n]), 100)
    if found.value is None:
        assert found.reason
        return
    assert np.isfinite([found.value, found.low, found.high]).all()
    assert found.low <= found.high
    json.dumps(found.__dict__, allow_nan=False)
