"""Agreement of judges, and a mean with the judge's errors taken off."""

import numpy as np
import pandas as pd
import pytest

from presto_bench.analysis import agreement


def graded(judges):
    """judge -> scores; a refusal is a score of 0."""
    frames = []
    for judge, scores in judges.items():
        for i, score in enumerate(scores):
            frames.append(
                {
                    "model": "m",
                    "arm": "a" if i % 2 else "b",
                    "attack": "x",
                    "variant": "v",
                    "prompt_id": f"p{i}",
                    "seed": 0,
                    "sample": 0,
                }
                | {"judge": judge, "score": score, "refusal": np.nan if np.isnan(score) else float(score == 0)}
            )
    return pd.DataFrame(frames)


def test_kappa_by_hand():
    """Cohen's own arithmetic: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no give (0.7 - 0.5) / (1 - 0.5)."""
    first = pd.Series([True] * 25 + [False] * 25)
    second = pd.Series([True] * 20 + [False] * 5 + [True] * 10 + [False] * 15)
    assert agreement.kappa(first, second) == pytest.approx(0.4)
    assert agreement.kappa(first, first) == 1
    assert np.isnan(agreement.kappa(pd.Series([True] * 4), pd.Series([True] * 4)))


def test_judges_that_say_the_same_agree_wholly_and_a_missing_grade_is_counted():
    scores = [0.0, 0.25, 1.0, 0.75, np.nan, 0.0]
    table = agreement.judges(graded({"one": scores, "two": [0.0, 0.25, 1.0, 0.75, 0.5, 0.0]})).set_index("arm")
    row = table.loc["all"]
    assert (row["n"], row["both_graded"]) == (6, 5)
    assert (row["kappa_refusal"], row["kappa_answered"], row["correlation"]) == pytest.approx((1, 1, 1))
    assert row["mean_first"] == pytest.approx(row["mean_second"]) == pytest.approx(0.4)
    assert set(table.index) == {"a", "b", "all"}


def test_a_single_judge_has_nobody_to_agree_with():
    assert agreement.judges(graded({"one": [0.0, 1.0]})).empty


def test_three_judges_make_three_pairs():
    table = agreement.judges(graded({name: [0.0, 1.0, 0.5, 0.5] for name in ("x", "y", "z")}))
    assert table[["first", "second"]].drop_duplicates().to_numpy().tolist() == [["x", "y"], ["x", "z"], ["y", "z"]]


def test_the_corrected_interval_covers_the_truth_about_as_often_as_it_says():
    """300 samples: a judge that scores 0.15 too high and noisily; the plain mean is off, the corrected one covers in 90 to 99 %."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        truth = rng.beta(1, 3, 140)
        judge = truth + 0.15 + rng.normal(0, 0.1, 140)
        found = agreement.corrected_mean(pd.DataFrame([judge[:100]]), judge[100:], truth[100:], 400)
        covered += found.low <= 0.25 <= found.high
    assert 0.90 <= covered / 300 <= 0.99


def test_the_same_scores_in_every_seed_are_no_more_evidence_than_in_one():
    rng = np.random.default_rng(3)
    scores, labels = rng.random(30), np.zeros(20)
    one = agreement.corrected_mean(pd.DataFrame([scores]), labels, labels, 2000)
    ten = agreement.corrected_mean(pd.DataFrame([scores] * 10), labels, labels, 2000)
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=0.1)
