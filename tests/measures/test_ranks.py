"""Ranks as docs/method.md defines them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from presto_bench.analysis import depth
from presto_bench.measures import ranks

# Few distinct values, so that ties are common.
LOGITS = st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=12)


@given(LOGITS)
def test_ranks_are_a_permutation_ordered_by_logit_then_id(values):
    logits = torch.tensor([values] * len(values))
    found = ranks.token_ranks(logits, range(len(values)), openers={0}).rank
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert [expected.index(i) + 1 for i in range(len(values))] == found.tolist()


@given(LOGITS, st.integers(1, 12))
def test_the_top_k_are_the_tokens_of_rank_at_most_k(values, k):
    logits = torch.tensor(values)
    found = ranks.token_ranks(logits.repeat(len(values), 1), range(len(values)), openers={0}).rank
    assert set(ranks.top_ids(logits, k)) == {i for i, rank in enumerate(found) if rank <= k}


@given(st.lists(st.integers(1, 60), min_size=1), st.integers(1, 60))
def test_reach_counts_the_tokens_before_the_first_that_is_out_of_reach(values, k):
    expected = 0
    for value in values:
        if value > k:
            break
        expected += 1
    assert depth.reach(values, k) == expected / len(values)
    assert depth.reach(values, k) <= depth.in_top(values, k)


@given(st.lists(st.integers(1, 60), min_size=1), st.integers(1, 59))
def test_more_choice_never_reaches_less(values, k):
    assert depth.reach(values, k + 1) >= depth.reach(values, k)
    assert depth.in_top(values, k + 1) >= depth.in_top(values, k)


def test_probabilities_and_refusal_mass_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    found = ranks.token_ranks(logits, [1], openers={1, 2})
    assert found.probability[0] == pytest.approx(0.25)
    assert found.refusal_mass[0] == pytest.approx(0.5)


def test_pfa_distance_by_hand():
    first, after = torch.log(torch.tensor([0.5, 0.5])), torch.log(torch.tensor([0.25, 0.75]))
    assert ranks.pfa_kl(first, after) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert ranks.pfa_kl(first, first) == 0
    assert ranks.overlap(torch.arange(40.0), torch.arange(40.0).roll(10)) == 0.5
