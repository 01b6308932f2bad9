"""Ranks as docs/explanation/method.md defines them."""

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


def test_an_arms_shift_from_its_own_first_token_by_hand():
    first, after = torch.log(torch.tensor([0.5, 0.5])), torch.log(torch.tensor([0.25, 0.75]))
    assert ranks.kl_first(first, after) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert ranks.kl_first(first, first) == 0
    assert ranks.overlap(torch.arange(40.0), torch.arange(40.0).roll(10)) == 0.5


FORMS = {"spearman": lambda r: 1 / r, "spearman_square": lambda r: 1 / r**2, "spearman_uniform": lambda r: 1.0}


def naive(original, arm, form):
    """Weighted correlation of ranks, token by token."""
    places = [sorted(range(len(values)), key=lambda i: (-values[i], i)) for values in (original, arm)]
    pairs = [(places[0].index(i) + 1, places[1].index(i) + 1) for i in range(len(original))]
    weights = [form(r) + form(s) for r, s in pairs]
    mean = [sum(w * pair[side] for w, pair in zip(weights, pairs, strict=True)) / sum(weights) for side in (0, 1)]

    def moment(a, b):
        return sum(w * (pair[a] - mean[a]) * (pair[b] - mean[b]) for w, pair in zip(weights, pairs, strict=True))

    return moment(0, 1) / (moment(0, 0) * moment(1, 1)) ** 0.5


@given(st.integers(2, 12).flatmap(lambda n: st.tuples(*[st.lists(st.integers(-3, 3).map(float), min_size=n, max_size=n)] * 2)))
def test_the_weighted_spearman_is_what_the_naive_sum_says(pair):
    found = ranks.weighted_spearman(*(torch.tensor(values) for values in pair))
    assert found == pytest.approx({name: naive(*pair, form) for name, form in FORMS.items()}, abs=1e-9)


@given(LOGITS)
def test_the_same_ranks_correlate_to_one_whatever_the_weights_and_reversed_ones_to_minus_one_with_equal_weights(values):
    logits = torch.tensor(values)
    assert all(rho == pytest.approx(1) for rho in ranks.weighted_spearman(logits, 2 * logits - 1).values())
    distinct = torch.arange(len(values), dtype=torch.float)
    assert ranks.weighted_spearman(distinct, -distinct)["spearman_uniform"] == pytest.approx(-1)


def test_the_papers_toy_example():
    """Footnote 7 of the paper: the distribution with the lower KL can have the worse ranks."""
    p, sharp, flat = (
        torch.tensor(v).log()
        for v in ([0.99, 0.004, 0.003, 0.002, 0.001], [0.99, 0.001, 0.002, 0.003, 0.004], [0.6, 0.2, 0.1, 0.06, 0.04])
    )
    assert ranks.weighted_spearman(p, sharp)["spearman_uniform"] == pytest.approx(0, abs=1e-9)
    assert ranks.weighted_spearman(p, flat)["spearman_uniform"] == pytest.approx(1)
    assert ranks.kl_first(p, sharp) == pytest.approx(0.0046, abs=1e-4)
    assert ranks.kl_first(p, flat) == pytest.approx(0.4591, abs=1e-3)


def test_the_top_counts_most_where_ranks_weigh_by_their_height():
    """Two swaps of neighbours: at the top it costs more than at the bottom, and without weights the same."""
    same = torch.arange(100.0).flip(0)
    top, bottom = same.clone(), same.clone()
    top[[0, 5]], bottom[[94, 99]] = same[[5, 0]], same[[99, 94]]
    at_top, at_bottom = (ranks.weighted_spearman(same, moved) for moved in (top, bottom))
    assert at_top["spearman"] < at_bottom["spearman"]
    assert at_top["spearman_square"] < at_bottom["spearman_square"]
    assert at_top["spearman_uniform"] == pytest.approx(at_bottom["spearman_uniform"])
