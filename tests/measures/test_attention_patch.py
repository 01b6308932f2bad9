"""A patch makes attention exactly what it is asked to be, on real models of each architecture, and changes nothing else."""

import pytest
import torch

import tiny_model
from presto_bench.measures import attention_patch
from presto_bench.measures.attention_patch import Patch

FAMILIES = ["llama", "qwen3", "gemma3"]
WIDTH, BEGIN, END, QUERIES = 24, 8, 13, 13


def spans():
    positions = torch.arange(WIDTH)[None]
    keys = ((positions >= BEGIN) & (positions < END)).expand(2, -1)
    return keys, (positions >= QUERIES).expand(2, -1)


def made(family):
    model = tiny_model.model(family, len(tiny_model.tokenizer(family))).eval()
    ids = torch.randint(5, 200, (2, WIDTH), generator=torch.Generator().manual_seed(0))
    return model, ids


@torch.inference_mode()
def eager(model, ids):
    """Every layer's attention probabilities, from transformers' own eager attention."""
    model.set_attn_implementation("eager")
    return model(input_ids=ids, use_cache=False, output_attentions=True).attentions


@torch.inference_mode()
def patched(model, ids, patch):
    with attention_patch.patchable(model):
        return model(input_ids=ids, use_cache=False, attention_patch=patch).logits


def first_layer(model, ids, patch, monkeypatch):
    """(B, H, T, T): what the first layer's queries pay in a patched pass, from what SDPA is given."""
    seen = {}
    attention = attention_patch.sdpa_attention_forward

    def spy(module, query, key, value, mask, **kwargs):
        if module.layer_idx == 0 and mask is not None and mask.is_floating_point():
            groups = query.shape[1] // key.shape[1]
            scores = query @ key.repeat_interleave(groups, 1).transpose(-1, -2) * kwargs["scaling"] + mask
            seen[0] = scores.softmax(-1)
        return attention(module, query, key, value, mask, **kwargs)

    with monkeypatch.context() as watched:
        watched.setattr(attention_patch, "sdpa_attention_forward", spy)
        patched(model, ids, patch)
    return seen[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_patch_that_wants_what_is_there_changes_nothing(family):
    model, ids = made(family)
    keys, queries = spans()
    everywhere = frozenset(range(model.config.get_text_config().num_hidden_layers))
    plain = patched(model, ids, None)
    same = patched(model, ids, Patch(everywhere, keys, queries, keys, lambda layer, mass: mass))
    torch.testing.assert_close(same, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("target", [0.05, 0.5, 0.9])
def test_the_first_layers_mass_becomes_what_was_asked_for(family, target, monkeypatch):
    """Checked through the value path: with known values the layer's own output says how much it looked where."""
    model, ids = made(family)
    keys, queries = spans()
    seen = {}

    def wanted(layer, mass):
        seen[layer] = mass
        return torch.full_like(mass, target)

    patch = Patch(frozenset({0, 1}), keys, queries, keys, wanted)
    # The second layer asks for what the first has become: a second pass, patched in layer 0, measures layer 0 again.
    patched(model, ids, patch)
    before = torch.einsum("bhqk,bk->bhq", eager(model, ids)[0], keys.float())
    torch.testing.assert_close(seen[0], before, atol=1e-5, rtol=1e-4)

    found = first_layer(model, ids, Patch(frozenset({0}), keys, queries, keys, wanted), monkeypatch)
    measured = torch.einsum("bhqk,bk->bhq", found, keys.float())
    got = measured[:, :, QUERIES:]
    torch.testing.assert_close(got, torch.full_like(got, target), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(measured[:, :, :QUERIES], before[:, :, :QUERIES], atol=1e-5, rtol=1e-4)


def seen(config, kind):
    """(T, T) bool: what a query may look at in a layer of this kind."""
    positions = torch.arange(WIDTH)
    causal = positions[:, None] >= positions[None]
    return causal & (positions[None] > positions[:, None] - config.sliding_window) if kind == "sliding_attention" else causal


def additive(allowed):
    return torch.zeros(allowed[:, None].shape).masked_fill(~allowed[:, None], torch.finfo(torch.float32).min)


@pytest.mark.parametrize("family", FAMILIES)
def test_knocking_out_is_masking(family):
    """In all layers, for queries behind the span: the same logits as when the span's keys are masked for them."""
    model, ids = made(family)
    keys, queries = spans()
    layers = frozenset(range(model.config.get_text_config().num_hidden_layers))
    found = patched(model, ids, Patch(layers, keys, queries, keys, attention_patch.knocked_out))
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    barred = queries[:, :, None] & keys[:, None, :]
    masks = {kind: additive(seen(config, kind)[None] & ~barred) for kind in kinds or {"full_attention"}}
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        given = masks if len(masks) > 1 else next(iter(masks.values()))
        expected = model(input_ids=ids, use_cache=False, attention_mask=given).logits
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-2)


def test_a_sham_moves_as_much_as_the_prefill_would():
    model, ids = made("llama")
    keys, queries = spans()
    sham = ((torch.arange(WIDTH)[None] >= 1) & (torch.arange(WIDTH)[None] < 7)).expand(2, -1)
    # Taking some away: a quarter of what the prefill has, which the sham span has as well.
    real = Patch(frozenset({0}), keys, queries, keys, lambda layer, mass: 0.75 * mass)
    other = Patch(frozenset({0}), sham, queries, keys, lambda layer, mass: 0.75 * mass)
    patched(model, ids, real)
    patched(model, ids, other)
    assert real.moved[0] < 0
    assert other.moved == pytest.approx(real.moved, rel=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("target", [0.0, 0.9])
@pytest.mark.parametrize("last", [3, BEGIN])
def test_a_sham_leaves_the_prefills_own_mass_alone(family, target, last, monkeypatch):
    """Taking from a short span or from all of the prompt, or giving to it, changes what the answer pays to itself and to that span alone."""
    model, ids = made(family)
    prefill, queries = spans()
    sham = (torch.arange(WIDTH)[None] < last).expand(2, -1)
    before = eager(model, ids)[0]
    patch = Patch(frozenset({0}), sham, queries, prefill, lambda layer, mass: torch.full_like(mass, target))
    found = first_layer(model, ids, patch, monkeypatch)
    own = [torch.einsum("bhqk,bk->bhq", masses, prefill.float())[:, :, QUERIES:] for masses in (before, found)]
    torch.testing.assert_close(own[1], own[0], atol=1e-4, rtol=1e-3)
    given = [torch.einsum("bhqk,bk->bhq", masses, sham.float())[:, :, QUERIES:] for masses in (before, found)]
    moved = (given[1] - given[0]).mean()
    assert patch.moved[0] == pytest.approx(float(moved), abs=1e-4)
    assert (moved < -0.02) if target == 0 else (moved > 0.1)


def test_outside_the_context_the_model_is_as_it_was():
    model, ids = made("llama")
    before = model.config._attn_implementation
    patched(model, ids, None)
    assert model.config._attn_implementation == before
