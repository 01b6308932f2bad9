"""How far a number is from a published one: what counts as agreeing, and what is never compared."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench.analysis import fidelity, stats
from presto_bench.analysis.fidelity_names import AGREES, DIFFERS, NOT_COMPARABLE, NOT_RUN

MODEL = "org/model"


def published(value=0.5, spread=np.nan, spread_n=np.nan, n=100, model=MODEL):
    cell = {"item": "table_7", "model": model, "arm": "da", "measure": "score", "attack": "autorap", "setting": "k=20"}
    return pd.DataFrame([cell | {"value": value, "spread": spread, "spread_n": spread_n, "n": n, "page": 28, "how": "printed"}])


def ours(value=0.5, half=0.1, n=100, why="", model=MODEL):
    cell = {
        "model": model,
        "arm": "da",
        "measure": "score",
        "attack": "autorap",
        "setting": "k=20",
        "own_arm": "da",
        "name": "autorap",
    }
    return pd.DataFrame([cell | {"value": value, "low": value - half, "high": value + half, "n": n, "why": why}])


def verdict(one, other):
    (row,) = fidelity.table(one, other).to_dict("records")
    return row


def test_the_published_values_own_error_counts_by_hand():
    """Ours 0.5 +- 0.1, published 0.7 with a standard deviation of 0.3 over 3 people: sqrt(0.051^2 + 0.3^2 / 3) x 1.96 = 0.354 > 0.2."""
    found = verdict(published(0.7, 0.3, 3), ours())
    half = stats.NORMAL * ((0.1 / stats.NORMAL) ** 2 + 0.3**2 / 3) ** 0.5
    assert (found["difference_low"], found["difference_high"]) == pytest.approx((-0.2 - half, -0.2 + half))
    assert found["verdict"] == AGREES
    assert verdict(published(0.7, 0.001, 3), ours())["verdict"] == DIFFERS


def test_without_a_printed_error_ours_is_scaled_to_the_published_number_of_requests():
    """90 requests where we had 360: half our standard error more than ours, twice."""
    found = verdict(published(0.5, n=25), ours(half=0.1, n=100))
    assert found["difference_high"] == pytest.approx(0.1 * (1 + 100 / 25) ** 0.5)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.3), st.integers(5, 400))
def test_it_agrees_exactly_where_the_interval_of_the_difference_holds_zero(value, theirs, half, n):
    found = verdict(published(theirs, n=n), ours(value, half))
    holds = found["difference_low"] <= 0 <= found["difference_high"]
    assert found["verdict"] == (AGREES if holds else DIFFERS)
    assert found["difference"] == pytest.approx(value - theirs)


def test_what_was_measured_in_another_way_is_never_compared_and_says_why():
    found = verdict(published(0.5, 0.1, 3), ours(why="mode strict, published: Algorithm 1"))
    assert (found["verdict"], found["why"]) == (NOT_COMPARABLE, "mode strict, published: Algorithm 1")
    assert (found["ours"] == 0.5 and found["difference_low"] is None) or np.isnan(found["difference_low"])
    no_error = verdict(published(), ours(half=np.nan))
    assert (no_error["verdict"], no_error["why"]) == (NOT_COMPARABLE, "no error of either is known")


@pytest.mark.parametrize("absent", [ours(model="org/other"), ours().iloc[:0], ours(value=np.nan)])
def test_a_published_value_without_a_number_of_ours_is_not_run_and_never_blank_or_zero(absent):
    found = verdict(published(), absent)
    assert found["verdict"] == NOT_RUN and np.isnan(found["ours"]) and found["published"] == 0.5


def test_two_arms_of_ours_may_stand_beside_one_published_arm():
    both = pd.concat([ours(), ours(0.9).assign(own_arm="da_published")])
    found = fidelity.table(published(), both)
    assert found["own_arm"].tolist() == ["da", "da_published"]
