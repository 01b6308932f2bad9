"""Rank curves over k, and the variety of what arms were taught."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench import profiles


def test_rank_curves_never_fall_with_k():
    rows = [("m", "da", "harmful_harmful", 0, f"p{i}", j, (i * 7 + j * 13) % 90 + 1) for i in range(5) for j in range(8)]
    frame = pd.DataFrame(rows, columns=["model", "arm", "role", "seed", "prompt_id", "position", "rank"])
    curve = profiles.rank_curves(frame)
    assert (curve["in_top"].diff().dropna() >= 0).all() and (curve["reach"].diff().dropna() >= 0).all()
    assert (curve["reach"] <= curve["in_top"]).all()


@given(st.lists(st.sampled_from(["I can't.", "I won't.", "Sorry, no."]), min_size=1, max_size=50))
def test_the_variety_of_refusals_is_their_entropy(refusals):
    found = profiles.variety(pd.Series(refusals))
    assert (found["n"], found["distinct"]) == (len(refusals), len(set(refusals)))
    assert -1e-9 <= found["opening_bits"] <= found["text_bits"] + 1e-9  # two texts may open alike, one cannot open in two ways
    assert found["text_bits"] <= np.log2(found["distinct"]) + 1e-9


def test_refusals_that_are_all_equally_frequent_have_the_logarithm_of_their_number():
    found = profiles.variety(pd.Series(["I can't.", "I won't.", "Sorry.", "No."] * 3))
    assert (found["text_bits"], found["opening_bits"]) == (pytest.approx(2), pytest.approx(1.5))
