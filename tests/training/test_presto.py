"""The PRESTO term's own algebra, on masses made from exact attention. That fused masses are right: test_attention_mass.py."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from presto_bench.config import PrestoConfig
from presto_bench.errors import UserError
from presto_bench.training.presto import Spans, prefill_mass, presto_sum

LAYERS, WIDTH, HEADS = 3, 24, 3


@st.composite
def spans(draw):
    """One to four right-padded examples, some without a prefill."""
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        end = draw(st.integers(3, WIDTH))
        start = draw(st.integers(1, end - 1))
        rows.append((start, draw(st.integers(start, end)), end))
    columns = [torch.tensor(column) for column in zip(*rows, strict=True)]
    return Spans.of_prefills(*columns, draw(st.sampled_from(["all", "refusal", "prefill"])))


def masses_of(some):
    """Masses of random causal attention rows that sum to 1 in float64."""
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(LAYERS, len(some.key_end), HEADS, WIDTH, WIDTH, dtype=torch.float64, generator=generator)
    future = torch.ones(WIDTH, WIDTH, dtype=torch.bool).triu(1)
    return [prefill_mass(attention, some) for attention in scores.masked_fill(future, -torch.inf).softmax(-1)]


@given(some=spans(), weight=st.floats(0, 10))
@settings(max_examples=20)
def test_it_is_linear_in_its_weight(some, weight):
    masses = masses_of(some)
    one = float(presto_sum(masses, some, PrestoConfig()))
    assert float(presto_sum(masses, some, PrestoConfig(weight=weight))) == pytest.approx(weight * one, rel=1e-12, abs=1e-12)


@given(some=spans(), chosen=st.sets(st.integers(0, LAYERS - 1), min_size=1, max_size=LAYERS - 1))
@settings(max_examples=20)
def test_disjoint_layer_sets_add_up(some, chosen):
    masses = masses_of(some)
    rest = sorted(set(range(LAYERS)) - chosen)
    parts = [float(presto_sum(masses, some, PrestoConfig(layers=sorted(s)))) for s in (chosen, rest)]
    assert sum(parts) == pytest.approx(float(presto_sum(masses, some, PrestoConfig())), rel=1e-12, abs=1e-12)


@given(some=spans())
@settings(max_examples=20)
def test_no_query_pays_more_than_two_a_head(some):
    masses = masses_of(some)
    queries = int(some.queries(WIDTH).sum())
    assert all(float(mass.min()) >= 0 and float(mass.max()) <= 1 + 1e-12 for mass in masses)
    assert 0 <= float(presto_sum(masses, some, PrestoConfig())) <= 2 * HEADS * queries * (1 + 1e-12)


@given(some=spans())
@settings(max_examples=20)
def test_refusal_queries_are_some_of_all_queries(some):
    every = Spans(some.key_start, some.key_end, some.key_start, some.query_end)
    later = Spans(some.key_start, some.key_end, some.key_end, some.query_end)
    masses = masses_of(some)
    assert float(presto_sum(masses, later, PrestoConfig())) <= float(presto_sum(masses, every, PrestoConfig())) + 1e-12


@given(some=spans())
@settings(max_examples=20)
def test_all_queries_are_the_prefills_and_the_refusals(some):
    """Of a row without a refusal none are left."""
    masses, starts, ends = masses_of(some), some.key_start, some.key_end
    last = torch.maximum(some.query_end, ends)
    spans_of = {queries: Spans.of_prefills(starts, ends, last, queries) for queries in ("all", "prefill", "refusal")}
    every, prefill, refusal = (float(presto_sum(masses, own, PrestoConfig())) for own in spans_of.values())
    assert every == pytest.approx(prefill + refusal, rel=1e-12, abs=1e-12)


@given(some=spans())
@settings(max_examples=20)
def test_the_equation_is_not_divided_by_layers(some):
    masses = masses_of(some)
    equation = float(presto_sum(masses, some, PrestoConfig(normalisation="equation")))
    assert equation == pytest.approx(LAYERS * float(presto_sum(masses, some, PrestoConfig())), rel=1e-12, abs=1e-12)


def test_without_prefills_the_term_is_zero():
    some = Spans.of_prefills(torch.tensor([4, 2]), torch.tensor([4, 2]), torch.tensor([9, 12]), "all")
    assert float(presto_sum(masses_of(some), some, PrestoConfig())) == 0


def test_a_layer_that_the_model_does_not_have_is_refused():
    some = Spans.of_prefills(torch.tensor([4]), torch.tensor([6]), torch.tensor([9]), "all")
    with pytest.raises(UserError, match=r"presto\.layers.*layer 7 of a model with 3"):
        presto_sum(masses_of(some), some, PrestoConfig(layers=[0, 7]))


def test_sums_of_low_precision_masses_do_not_stall():
    """Summed in bfloat16, three thousand masses of 1 stop growing near 256."""
    some = Spans.of_prefills(torch.tensor([1]), torch.tensor([2]), torch.tensor([3002]), "all")
    mass = torch.ones(1, 1, 3002, dtype=torch.bfloat16)
    assert float(presto_sum([mass], some, PrestoConfig())) == pytest.approx(2 * 3001, rel=1e-3)
