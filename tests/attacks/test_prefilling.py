"""The prefilling attack by the length of its prefill."""

import pytest

import tiny_model
from presto_bench.attacks import prefilling
from presto_bench.attacks.base import Request, Setting
from presto_bench.config import SamplingConfig
from presto_bench.config.attacks import Prefilling
from presto_bench.errors import UserError
from presto_bench.lm import chat

SHORT = Request("short", "Tea?", "First", answer="First you boil water.")
LONG = Request("long", "Bread?", "First", answer="First you knead the dough. " * 40)
CONTEXT = 128


@pytest.fixture(scope="module")
def setting():
    tokenizer = tiny_model.tokenizer("llama")
    model = tiny_model.model("llama", len(tokenizer))
    ends = chat.end_of_turn(tokenizer, model)
    return Setting(model, tokenizer, chat.ChatFormat(), SamplingConfig(temperature=0), ends, CONTEXT)


def run(setting, variant, *requests):
    config = Prefilling(name="p", kind="prefilling", lengths=[], greedy_recipe_lengths=[5, 100], greedy_tokens=8)
    assert variant in config.variants() or variant == "recipe_full"
    return prefilling.run(config, variant, requests, setting)


def test_a_length_takes_so_many_tokens_of_the_text(setting):
    found = run(setting, "greedy_recipe_5", SHORT, LONG)
    assert [(c.prompt_id, len(c.prefill_ids)) for c in found] == [("short", 5), ("long", 5)]


def test_what_does_not_fit_the_context_at_a_length_is_left_out_and_said(setting, caplog):
    found = run(setting, "greedy_recipe_100", SHORT, LONG)
    assert [c.prompt_id for c in found] == ["short"]
    assert f"1 requests do not fit the context of {CONTEXT} tokens" in caplog.text
    assert run(setting, "greedy_recipe_100", LONG) == []


def test_a_whole_prefill_that_does_not_fit_is_an_error(setting):
    """It is the attack itself, and no point of a curve: a request must not go missing there."""
    with pytest.raises(UserError, match="exceed the model's context"):
        run(setting, "recipe_full", SHORT, LONG)
