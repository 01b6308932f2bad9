"""The PRESTO term is what method.md section 4 defines: values and gradients, in float64, on real attention."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_model
from presto_bench.config import PrestoConfig
from presto_bench.presto import Spans, prefill_mass, presto_sum

LAYERS, WIDTH = 3, 24


@st.composite
def batches(draw):
    """Spans of one to four right-padded examples, some without a prefill."""
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        end = draw(st.integers(3, WIDTH))
        start = draw(st.integers(1, end - 1))
        rows.append((start, draw(st.integers(start, end)), end))
    return [torch.tensor(column) for column in zip(*rows, strict=True)]


def attentions_of(family, columns):
    """Real attention probabilities with a graph behind them, of random ids, right-padded as in training."""
    model = tiny_model.model(family, 300, layers=LAYERS, dtype=torch.float64)
    model.set_attn_implementation("eager")
    ids = torch.randint(0, 300, (len(columns[0]), WIDTH), generator=torch.Generator().manual_seed(1))
    return model, model(input_ids=ids, output_attentions=True).attentions


def naive_sum(attentions, columns, layers, queries):
    """The definition, query by query: 2 / n_layers * sum of the mass on [p_j, min(r_j, q + 1))."""
    total = 0.0
    for layer in layers:
        for j, (p, r, e) in enumerate(zip(*[c.tolist() for c in columns], strict=True)):
            if p == r:
                continue
            for q in range(p if queries == "all" else r, e):
                for head in range(attentions[layer].shape[1]):
                    total = total + attentions[layer][j, head, q, p : min(r, q + 1)].sum()
    return 2 / len(attentions) * total


def reference_sum(attentions, columns):
    """The reference's own form: prefill - before - after + number of heads, for every query from the prefill on."""
    total = 0.0
    for attention in attentions:
        for j, (p, r, e) in enumerate(zip(*[c.tolist() for c in columns], strict=True)):
            if p == r:
                continue
            for q in range(p, e):
                row = attention[j, :, q]
                last = min(r, q + 1)
                total = total + (row[:, p:last].sum() - row[:, :p].sum() - row[:, last : q + 1].sum() + attention.shape[1])
    return total / len(attentions)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
@pytest.mark.parametrize("queries", ["all", "refusal"])
@given(columns=batches())
@settings(max_examples=12, deadline=None)
def test_value_and_gradients_equal_the_definition(family, queries, columns):
    config = PrestoConfig(weight=1.5, queries=queries)
    found, wanted = [], []
    for results, term in (
        (found, lambda a: presto_sum(a, Spans(*columns), config)),
        (wanted, lambda a: 1.5 * naive_sum(a, columns, range(LAYERS), queries)),
    ):
        model, attentions = attentions_of(family, columns)
        value = term(attentions)
        if torch.is_tensor(value) and value.requires_grad and float(value.detach()) != 0:
            value.backward()
        results.append(float(value))
        results.append([p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in model.parameters()])
    assert found[0] == pytest.approx(wanted[0], rel=1e-12, abs=1e-12)
    for mine, theirs in zip(found[1], wanted[1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def exact_attentions(columns, heads=3):
    """Causal rows that sum to 1 in float64; transformers' eager softmax is rounded to float32."""
    scores = torch.randn(
        LAYERS, len(columns[0]), heads, WIDTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    future = torch.ones(WIDTH, WIDTH, dtype=torch.bool).triu(1)
    return list(scores.masked_fill(future, -torch.inf).softmax(-1))


@given(columns=batches())
@settings(max_examples=30, deadline=None)
def test_it_equals_the_references_prefill_minus_before_minus_after_plus_heads(columns):
    attentions = exact_attentions(columns)
    mine = presto_sum(attentions, Spans(*columns), PrestoConfig())
    assert float(mine) == pytest.approx(float(reference_sum(attentions, columns)), rel=1e-12, abs=1e-10)


@given(columns=batches(), chosen=st.sets(st.integers(0, LAYERS - 1), min_size=1, max_size=LAYERS - 1))
@settings(max_examples=12, deadline=None)
def test_disjoint_layer_sets_add_up(columns, chosen):
    _, attentions = attentions_of("llama", columns)
    rest = sorted(set(range(LAYERS)) - chosen)
    parts = [float(presto_sum(attentions, Spans(*columns), PrestoConfig(layers=sorted(s)))) for s in (chosen, rest)]
    whole = float(presto_sum(attentions, Spans(*columns), PrestoConfig()))
    assert sum(parts) == pytest.approx(whole, rel=1e-12, abs=1e-12)


@given(columns=batches())
@settings(max_examples=12, deadline=None)
def test_no_query_pays_more_than_one_a_head(columns):
    _, attentions = attentions_of("llama", columns)
    for attention in attentions:
        mass = prefill_mass(attention, Spans(*columns))
        assert float(mass.min()) >= 0
        assert float(mass.max()) <= 1 + 1e-12


def test_without_prefills_the_term_is_zero():
    columns = [torch.tensor([4, 2]), torch.tensor([4, 2]), torch.tensor([9, 12])]
    _, attentions = attentions_of("llama", columns)
    assert float(presto_sum(attentions, Spans(*columns), PrestoConfig())) == 0


def test_sums_of_low_precision_attention_do_not_stall():
    """Summed in bfloat16, three thousand masses of 1 stop growing near 256 (facts.md)."""
    attention = torch.zeros(1, 1, 3002, 3002, dtype=torch.bfloat16)
    attention[..., 1] = 1.0
    spans = Spans(torch.tensor([1]), torch.tensor([2]), torch.tensor([3002]))
    assert float(presto_sum([attention], spans, PrestoConfig())) == pytest.approx(2 * 3001, rel=1e-3)
