"""Caches that take tokens back are exact: whatever was fed before, a row's output is that of its ids alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_model
from presto_bench.lm.rollback import Rollback

VOCABULARY = 60
FAMILIES = ["llama", "qwen3", "gemma3", "mistral_windowed"]  # Gemma 3 and Mistral: windows of 16, narrower than the rows
MODELS = {family: tiny_model.model(family, VOCABULARY, dtype=torch.float64) for family in FAMILIES}

tokens = st.lists(st.integers(2, VOCABULARY - 1), min_size=1, max_size=6)


def alone(model, ids):
    with torch.no_grad():
        return model.base_model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1]


@st.composite
def histories(draw):
    """Rounds of {row: ids}: each row grows, is cut back and grows again, and does not take part in every round."""
    held = {row: draw(st.lists(st.integers(2, VOCABULARY - 1), min_size=3, max_size=30)) for row in range(3)}
    rounds = [dict(held)]
    for _ in range(draw(st.integers(1, 5))):
        wanted = {}
        for row in draw(st.sets(st.integers(0, 2), min_size=1)):
            kept = draw(st.integers(1, len(held[row])))
            held[row] = held[row][:kept] + draw(tokens)
            wanted[row] = list(held[row])
        rounds.append(wanted)
    return rounds


@pytest.mark.parametrize("family", FAMILIES)
@given(rounds=histories())
@settings(max_examples=12)
def test_every_row_is_what_it_is_alone(family, rounds):
    model = MODELS[family]
    cache = Rollback(model, 3)
    for wanted in rounds:
        found = cache.last_hidden(wanted)
        for row, hidden in zip(wanted, found, strict=True):
            torch.testing.assert_close(hidden, alone(model, wanted[row]), rtol=1e-9, atol=1e-10)


def test_asking_again_gives_the_same_answer():
    cache = Rollback(MODELS["llama"], 1)
    first = cache.last_hidden({0: [5, 6, 7]})
    assert torch.allclose(cache.last_hidden({0: [5, 6, 7]}), first, atol=1e-12)


def test_only_what_is_new_is_fed():
    model = MODELS["llama"]
    cache, fed = Rollback(model, 1), []
    hook = model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        for ids in ([5, 6, 7, 8], [5, 6, 7, 8, 9], [5, 6, 3, 4]):
            cache.last_hidden({0: ids})
    finally:
        hook.remove()
    assert fed == [4, 1, 2]
