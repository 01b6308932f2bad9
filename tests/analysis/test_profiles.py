"""Rank curves over k, what stands in the top 20, and the variety of what arms were taught."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench.analysis import profiles


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


def test_pushed_ranks_have_a_line_a_weighting_with_the_bare_prompts_beside_it():
    """Two requests: 0.2 and 0.4 behind the prefill, 0.9 on the bare prompt; a decoder without likelihoods has none, and no line."""
    rows = [
        ("m", arm, 0, p, place, value)
        for arm in ("da", "cut")
        for p, after in (("p", 0.2), ("q", 0.4))
        for place, value in (("first", 0.9), ("after_prefill", after))
    ]
    table = pd.DataFrame(rows, columns=["model", "arm", "seed", "prompt_id", "place", "spearman"])
    table["spearman"] = table["spearman"].where(table["arm"] == "da")
    table = table.assign(spearman_square=table["spearman"] / 2, spearman_uniform=table["spearman"])
    found = profiles.push_forward(table, 300).set_index(["arm", "weights"])
    assert found.index.tolist() == [("da", "inverse rank"), ("da", "inverse rank squared"), ("da", "equal")]
    assert found["value"].tolist() == pytest.approx([0.3, 0.15, 0.3])
    assert found["bare"].tolist() == pytest.approx([0.9, 0.45, 0.9])
    assert (found["n"] == 2).all() and (found["low"] < found["value"]).all() and (found["high"] > found["value"]).all()


def composed(kinds):
    """kinds: request -> the kind of each token of its top 20, of one place each."""
    rows = [("m", "da", 0, p, 3, rank, kind) for p, own in kinds.items() for rank, kind in enumerate(own, 1)]
    return pd.DataFrame(rows, columns=["model", "arm", "seed", "prompt_id", "depth", "rank", "kind"])


def test_the_composition_of_the_top_20_by_hand_with_an_interval_over_requests():
    """One request's tokens are all refusals, another's half refusals and half damage."""
    table = composed({"p": ["refusal"] * 20, "q": ["refusal"] * 10 + ["other"] * 10})
    found = profiles.composition_table(table, 300).set_index("kind")
    assert found["share"].to_dict() == {"plausible": 0, "plausible_refused": 0, "refusal": 0.75, "other": 0.25}
    assert (found.loc["refusal", ["low", "high"]] == [0.5, 1.0]).all()
    by_rank = profiles.composition_by_rank(table).set_index(["rank", "kind"])["share"]
    assert (by_rank[1, "refusal"], by_rank[20, "refusal"], by_rank[20, "other"]) == (1.0, 0.5, 0.5)


@given(st.lists(st.lists(st.sampled_from(profiles.KINDS), min_size=20, max_size=20), min_size=1, max_size=5))
def test_every_token_of_a_top_20_is_of_one_kind(kinds):
    found = profiles.composition_table(composed({f"p{i}": own for i, own in enumerate(kinds)}), 20)
    assert found["share"].sum() == pytest.approx(1)
    assert found["n"].tolist() == [len(kinds)] * 4
