"""Masses from fused attention are those of the definition: values and gradients, on every architecture of the paper and two more."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import naive_attention
import tiny_model
from presto_bench.config import PrestoConfig
from presto_bench.errors import UserError
from presto_bench.training import attention_mass
from presto_bench.training.presto import Spans, presto_sum

LAYERS, WIDTH, VOCABULARY = 2, 24, 300
# Windows of 16 are narrower than the batch: Gemma 3 has a layer of each kind, Mistral windows alone.
# transformers' norms run in float32; OLMo 2's stand right behind queries and keys, so that its gradients agree to that alone.
REFERENCE = PrestoConfig()
RTOL = {"olmo2": 1e-6}
FAMILIES = ["llama", "qwen3", "gemma3", "mistral_windowed", "olmo2"]


@st.composite
def batches(draw):
    """Lengths and spans of one to four examples: prompt, prefill (or none), rest."""
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        end = draw(st.integers(3, WIDTH))
        start = draw(st.integers(1, end - 1))
        rows.append((start, draw(st.integers(start, end)), end))
    return rows


def batch(rows, padding):
    """(ids, mask or None, spans) of random tokens. Spans count from the row's place in the padded batch."""
    ids = torch.randint(2, VOCABULARY, (len(rows), WIDTH), generator=torch.Generator().manual_seed(1))
    shifts = [WIDTH - end if padding == "left" else 0 for _, _, end in rows]
    columns = zip(*[(p + s, r + s, e + s) for (p, r, e), s in zip(rows, shifts, strict=True)], strict=True)
    p, r, e = (torch.tensor(column) for column in columns)
    positions = torch.arange(WIDTH)[None]
    mask = ((positions >= torch.tensor(shifts)[:, None]) & (positions < e[:, None])).long()
    return ids, None if padding == "none" else mask, (p, r, e)


def naive_sum(matrices, columns, queries):
    """The definition, query by query."""
    total = torch.zeros((), dtype=torch.float64)
    for matrix in matrices:
        for j, (p, r, e) in enumerate(zip(*[c.tolist() for c in columns], strict=True)):
            if p == r:
                continue
            for q in range(*{"all": (p, e), "refusal": (r, e), "prefill": (p, r)}[queries]):
                total = total + matrix[j, :, q, p : min(r, q + 1)].sum()
    return 2 / len(matrices) * total


def reference_sum(matrices, columns):
    """The reference's own form: prefill - before - after + number of heads."""
    total = torch.zeros((), dtype=torch.float64)
    for matrix in matrices:
        for j, (p, r, e) in enumerate(zip(*[c.tolist() for c in columns], strict=True)):
            if p == r:
                continue
            for q in range(p, e):
                row, last = matrix[j, :, q], min(r, q + 1)
                total = total + row[:, p:last].sum() - row[:, :p].sum() - row[:, last : q + 1].sum() + matrix.shape[1]
    return total / len(matrices)


def equation_sum(matrices, columns):
    """Equation 3 as printed, times the number of prefilled examples: every query of prompt and prefill, attention on the prefill less attention elsewhere."""
    total = torch.zeros((), dtype=torch.float64)
    for matrix in matrices:
        for j, (p, r, _) in enumerate(zip(*[c.tolist() for c in columns], strict=True)):
            for q in range(r) if r > p else ():
                row = matrix[j, :, q, :r]
                total = total + row[:, p:].sum() - row[:, :p].sum()
    return total


def loss_and_gradients(model, term, ids, mask, columns, **extra):
    """PRESTO + cross-entropy on real tokens, so that the attention's own output is checked with it."""
    outputs = model(input_ids=ids, attention_mask=mask, use_cache=False, output_attentions=True, **extra)
    real = torch.arange(WIDTH)[None] < columns[2][:, None]
    if mask is not None:
        real &= mask.bool()
    predicted, targets = outputs.logits[:, :-1], ids.masked_fill(~real, -100)[:, 1:]
    value = term(outputs)
    trained = [p for p in model.parameters() if p.requires_grad]
    loss = value + F.cross_entropy(predicted.flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=-100)
    return float(value.detach()), float(loss.detach()), torch.autograd.grad(loss, trained, allow_unused=True)


def fused(model, columns, ids, mask, queries="all", config=REFERENCE):
    attention_mass.switch_on(model)
    spans = Spans.of_prefills(*columns, queries)

    def term(outputs):
        return presto_sum(attention_mass.masses("fused", spans, outputs, LAYERS), spans, config)

    return loss_and_gradients(model, term, ids, mask, columns, **arguments(spans))


def arguments(spans):
    return {"prefill_keys": attention_mass.arguments("fused", spans, WIDTH)["prefill_keys"]}


def assert_same(found, wanted, rtol=1e-9):
    assert found[:2] == pytest.approx(wanted[:2], rel=rtol, abs=1e-10)
    for mine, theirs in zip(found[2], wanted[2], strict=True):
        if mine is None or theirs is None:
            assert mine is theirs
        else:
            torch.testing.assert_close(mine, theirs, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
@given(rows=batches(), queries=st.sampled_from(["all", "refusal", "prefill"]))
@settings(max_examples=8)
def test_value_and_gradients_are_the_definitions(family, padding, rows, queries):
    ids, mask, columns = batch(rows, padding)
    model = tiny_model.model(family, VOCABULARY, layers=LAYERS, dtype=torch.float64)
    found = fused(model, columns, ids, mask, queries)
    model.set_attn_implementation(naive_attention.NAME)
    wanted = loss_and_gradients(model, lambda out: naive_sum(out.attentions, columns, queries), ids, mask, columns)
    assert_same(found, wanted, RTOL.get(family, 1e-9))


@pytest.mark.parametrize("family", FAMILIES)
@given(rows=batches())
@settings(max_examples=5)
def test_it_equals_equation_3_less_a_constant(family, rows):
    """Each query before the prefill adds -H, and one of the prefill -H beside twice its mass: what is left out does not depend on the weights."""
    ids, _, columns = batch(rows, "none")
    model = tiny_model.model(family, VOCABULARY, layers=LAYERS, dtype=torch.float64)
    found = fused(model, columns, ids, None, "prefill", PrestoConfig(queries="prefill", normalisation="equation"))
    model.set_attn_implementation(naive_attention.NAME)
    constant = LAYERS * model.config.get_text_config().num_attention_heads * sum(r for p, r, _ in rows if r > p)
    wanted = loss_and_gradients(model, lambda out: equation_sum(out.attentions, columns) + constant, ids, None, columns)
    assert_same(found, wanted, RTOL.get(family, 1e-9))


@pytest.mark.parametrize("family", FAMILIES)
@given(rows=batches())
@settings(max_examples=5)
def test_it_equals_the_references_prefill_minus_before_minus_after_plus_heads(family, rows):
    ids, _, columns = batch(rows, "none")
    model = tiny_model.model(family, VOCABULARY, layers=LAYERS, dtype=torch.float64)
    found = fused(model, columns, ids, None)
    model.set_attn_implementation(naive_attention.NAME)
    wanted = loss_and_gradients(model, lambda out: reference_sum(out.attentions, columns), ids, None, columns)
    assert_same(found, wanted, RTOL.get(family, 1e-9))


def test_heads_too_wide_for_one_more_column_get_a_second_call():
    """Gemma 3 has heads of 256, which is all that CUDA's flash kernel takes."""
    ids, mask, columns = batch([(4, 9, 20), (3, 3, 24)], "none")
    model = tiny_model.model("gemma3", VOCABULARY, layers=LAYERS, dtype=torch.float64, head_dim=256)
    found = fused(model, columns, ids, mask)
    model.set_attn_implementation(naive_attention.NAME)
    assert_same(found, loss_and_gradients(model, lambda out: naive_sum(out.attentions, columns, "all"), ids, mask, columns))


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_checkpointing_counts_each_layer_once_and_keeps_the_gradient(family):
    ids, mask, columns = batch([(4, 9, 20), (3, 3, 24), (2, 12, 15)], "none")
    model = tiny_model.model(family, VOCABULARY, layers=LAYERS, dtype=torch.float64).train()
    plain = fused(model, columns, ids, mask)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_same(fused(model, columns, ids, mask), plain)


def test_checkpointing_that_drops_the_gradient_is_refused():
    ids, mask, columns = batch([(4, 9, 20)], "none")
    model = tiny_model.model("llama", VOCABULARY, layers=LAYERS).train()
    model.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(UserError, match="no gradient"):
        fused(model, columns, ids, mask)


def test_under_bfloat16_autocast_it_is_as_good_as_eager():
    rows = [(8, 16, 24), (4, 9, 20), (3, 3, 24)]
    ids, _, columns = batch(rows, "none")
    spans = Spans.of_prefills(*columns, "all")
    exact = fused(tiny_model.model("llama", VOCABULARY, layers=LAYERS, dtype=torch.float64), columns, ids, None)[0]
    values = {}
    for attention in ("fused", "eager"):
        model = tiny_model.model("llama", VOCABULARY, layers=LAYERS)
        attention_mass.switch_on(model, attention)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model(input_ids=ids, use_cache=False, **attention_mass.arguments(attention, spans, WIDTH))
            values[attention] = float(
                presto_sum(attention_mass.masses(attention, spans, outputs, LAYERS), spans, PrestoConfig())
            )
    assert values["fused"] == pytest.approx(exact, rel=2**-7)
    assert abs(values["fused"] - exact) < abs(values["eager"] - exact) + exact * 2**-9


def test_lora_gradients_are_those_of_naive_attention():
    from peft import LoraConfig, get_peft_model

    ids, mask, columns = batch([(4, 9, 20), (3, 3, 24)], "right")
    model = tiny_model.model("llama", VOCABULARY, layers=LAYERS, dtype=torch.float64)
    attention_mass.switch_on(model)
    torch.manual_seed(3)
    tuned = get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False)).double()
    spans = Spans.of_prefills(*columns, "all")

    def term(outputs):
        return presto_sum(attention_mass.masses("fused", spans, outputs, LAYERS), spans, PrestoConfig())

    found = loss_and_gradients(tuned, term, ids, mask, columns, **arguments(spans))
    model.set_attn_implementation(naive_attention.NAME)
    wanted = loss_and_gradients(tuned, lambda out: naive_sum(out.attentions, columns, "all"), ids, mask, columns)
    assert len(found[2]) == LAYERS * 7 * 2
    assert_same(found, wanted)


@given(rows=batches())
@settings(max_examples=10)
def test_without_marked_keys_it_is_sdpa_itself(rows):
    ids, mask, _ = batch(rows, "right")
    model = tiny_model.model("llama", VOCABULARY, layers=LAYERS)
    with torch.no_grad():
        model.set_attn_implementation("sdpa")
        plain = model(input_ids=ids, attention_mask=mask).logits
        attention_mass.switch_on(model)
        assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, plain)


@pytest.mark.parametrize(
    ("family", "changes", "reason"),
    [
        ("gemma2", {}, "caps its attention logits"),
        ("gpt_oss", {}, "no fused attention|attention sinks"),
        ("llama", {"attention_dropout": 0.1}, "dropout is 0.1"),
        ("qwen3", {"layer_types": ["linear_attention", "full_attention"]}, "layers of kind linear_attention"),
    ],
)
def test_a_model_whose_rows_do_not_sum_to_one_is_refused_by_name(family, changes, reason):
    model = tiny_model.model(
        "qwen3" if family == "qwen3" else family, VOCABULARY, layers=LAYERS, **({} if family == "qwen3" else changes)
    )
    for key, value in changes.items():
        setattr(model.config, key, value)
    with pytest.raises(UserError, match=reason) as found:
        attention_mass.switch_on(model)
    assert type(model).__name__ in str(found.value)
    assert "presto.attention: eager" in str(found.value)


def test_attention_dropout_is_refused_for_eager_too():
    model = tiny_model.model("llama", VOCABULARY, attention_dropout=0.1)
    with pytest.raises(UserError, match=r"(?s)dropout is 0\.1.*attention_dropout to 0"):
        attention_mass.switch_on(model, "eager")


def test_a_model_with_softcapping_trains_with_the_eager_choice():
    ids, _, columns = batch([(4, 9, 20)], "none")
    spans = Spans.of_prefills(*columns, "all")
    model = tiny_model.model("gemma2", VOCABULARY, layers=LAYERS)
    attention_mass.switch_on(model, "eager")
    outputs = model(input_ids=ids, use_cache=False, **attention_mass.arguments("eager", spans, WIDTH))
    masses = attention_mass.masses("eager", spans, outputs, LAYERS)
    assert float(masses[0][0, 0, 10].detach()) == pytest.approx(float(outputs.attentions[0][0, 0, 10, 4:9].sum().detach()))
    presto_sum(masses, spans, PrestoConfig()).backward()
    assert float(model.get_input_embeddings().weight.grad.abs().max()) > 0


def test_a_family_that_names_its_dropout_otherwise_is_refused_when_it_drops():
    """GPT-2's config says attn_pdrop."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2)).train()
    model.set_attn_implementation(attention_mass.NAME)
    with pytest.raises(UserError, match="drops 10% of its attention"):
        model(input_ids=torch.ones(1, 5, dtype=torch.long), use_cache=False, prefill_keys=torch.ones(1, 5, dtype=torch.bool))


def test_masses_that_the_model_did_not_hand_out_are_refused():
    class Outputs:
        attentions = None

    spans = Spans.of_prefills(torch.tensor([1]), torch.tensor([2]), torch.tensor([3]), "all")
    with pytest.raises(UserError, match=r"0 masses .* for 2 layers"):
        attention_mass.masses("fused", spans, Outputs(), 2)


def test_marked_keys_of_another_length_are_refused():
    ids, _, _ = batch([(4, 9, 20)], "none")
    model = tiny_model.model("llama", VOCABULARY)
    attention_mass.switch_on(model)
    with pytest.raises(UserError, match=r"5 positions, but 24 keys"):
        model(input_ids=ids, use_cache=False, prefill_keys=torch.ones(1, 5, dtype=torch.bool))
