"""One path from (prompt, prefill, response) to ids and spans, on the real SmolLM2 template and the families' forms."""

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny_model
from presto_bench.errors import UserError
from presto_bench.lm import chat, folders

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=40)
PLAIN = chat.ChatFormat()
NO_THINKING = chat.ChatFormat(thinking=False)
FORMATS = {"llama": PLAIN, "llama2": PLAIN, "qwen3": NO_THINKING, "gemma3": PLAIN}
TOKENIZERS = {family: tiny_model.tokenizer(family) for family in FORMATS}
FAMILIES = pytest.mark.parametrize("family", FORMATS)


@FAMILIES
@given(prompt=TEXT, prefill=TEXT, response=TEXT)
@settings(max_examples=60)
def test_spans_hold_exactly_what_was_given(family, prompt, prefill, response):
    tokenizer, form = TOKENIZERS[family], FORMATS[family]
    encoded = chat.encode(tokenizer, prompt, form, prefill, response)
    assert list(encoded.prompt_ids) == chat.encode_prompt(tokenizer, prompt, form)
    assert tokenizer.decode(encoded.prefill_ids) == prefill
    assert tokenizer.decode(encoded.response_ids) == response
    assert encoded.ids == encoded.prompt_ids + encoded.prefill_ids + encoded.response_ids


@FAMILIES
@given(prefill=TEXT, more=TEXT)
@settings(max_examples=40)
def test_what_follows_never_changes_what_stands_before(family, prefill, more):
    tokenizer, form = TOKENIZERS[family], FORMATS[family]
    short = chat.encode(tokenizer, "Hello", form, prefill)
    long = chat.encode(tokenizer, "Hello", form, prefill, more)
    assert long.ids[: len(short.ids)] == short.ids


@FAMILIES
@given(before=TEXT, after=TEXT, data=st.data())
@settings(max_examples=60)
def test_user_text_cannot_become_special_tokens(family, before, after, data):
    tokenizer, form = TOKENIZERS[family], FORMATS[family]
    special = data.draw(st.sampled_from(sorted(tokenizer.all_special_tokens)))
    clean = chat.encode(tokenizer, "Hello", form, "Sure")
    spelled = chat.encode(tokenizer, before + special + after, form, before + special, after + special + special)
    ids = set(tokenizer.all_special_ids)

    def count(row):
        return sum(token in ids for token in row)

    assert count(spelled.prompt_ids) == count(clean.prompt_ids)
    assert count(spelled.prefill_ids + spelled.response_ids) == 0


@FAMILIES
def test_a_prompt_starts_with_one_bos_where_the_family_has_one(family):
    tokenizer = TOKENIZERS[family]
    ids = chat.encode_prompt(tokenizer, "Hello", FORMATS[family])
    if tokenizer.bos_token is None or family == "llama":  # ChatML's "bos" opens every turn
        return
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1


def test_thinking_off_puts_the_empty_think_block_into_the_prompt():
    tokenizer = TOKENIZERS["qwen3"]
    encoded = chat.encode(tokenizer, "Hello", NO_THINKING, "Sure")
    assert tokenizer.decode(encoded.prompt_ids).endswith("<think>\n\n</think>\n\n")
    assert tokenizer.decode(encoded.prefill_ids) == "Sure"
    assert "think" not in tokenizer.decode(chat.encode_prompt(tokenizer, "Hello", PLAIN))


REOPENED = {
    "llama": "<|im_end|>\n<|im_start|>assistant\n",
    "qwen3": "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "gemma3": "<end_of_turn>\n<start_of_turn>model\n",
}


@pytest.mark.parametrize("family", REOPENED)
def test_a_reopened_turn_has_the_assistants_header_behind_its_prefill(family):
    """The headers are the families' own, written out by hand."""
    tokenizer, form = TOKENIZERS[family], dataclasses.replace(FORMATS[family], reopen=True)
    encoded = chat.encode(tokenizer, "Hello", form, "Sure, ", "I can't")
    plain = chat.encode(tokenizer, "Hello", FORMATS[family], "Sure, ", "I can't")
    assert tokenizer.decode(encoded.ids[encoded.prefill_end : encoded.response_start]) == REOPENED[family]
    assert (encoded.prompt_ids, encoded.prefill_ids, encoded.response_ids) == (
        plain.prompt_ids,
        plain.prefill_ids,
        plain.response_ids,
    )
    assert list(encoded.ids) == encoded.followed_by([*encoded.prefill_ids, *encoded.response_ids])
    assert encoded.followed_by(encoded.prefill_ids[:1])[-encoded.header :] == list(
        encoded.ids[encoded.prefill_end : encoded.response_start]
    )


def test_without_a_prefill_there_is_no_turn_to_reopen():
    form = dataclasses.replace(PLAIN, reopen=True)
    assert chat.encode(TOKENIZERS["llama"], "Hello", form) == chat.encode(TOKENIZERS["llama"], "Hello", PLAIN)


def test_a_template_without_an_assistants_header_is_named():
    with pytest.raises(UserError, match="no header"):
        chat.encode(TOKENIZERS["llama2"], "Hello", chat.ChatFormat(reopen=True), "Sure")


def test_a_template_without_a_system_role_is_named():
    with pytest.raises(UserError, match="System role not supported") as error:
        chat.encode(TOKENIZERS["gemma3"], "Hello", chat.ChatFormat(system="Be brief."))
    assert "chat.system: null" in error.value.mend


def test_a_model_without_a_template_is_named():
    bare = tiny_model.tokenizer("llama")
    bare.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        chat.encode(bare, "Hello", PLAIN)


def test_a_prompt_longer_than_the_context_is_named():
    encoded = chat.encode(TOKENIZERS["llama"], "Hello " * 100, PLAIN)
    with pytest.raises(UserError, match=r"prompt abc.*context of 64"):
        chat.require_fit(encoded, 10, 64, "abc")


@pytest.fixture(scope="module")
def real_tokenizer(smollm2):
    return folders.load_tokenizer(smollm2)


@given(prompt=TEXT, prefill=TEXT)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_on_the_real_model_the_whole_is_what_its_tokenizer_reads(real_tokenizer, prompt, prefill):
    """The prompt's ids are those of the template's own text; the prefill follows the assistant's tag directly."""
    tokenizer = real_tokenizer
    encoded = chat.encode(tokenizer, prompt, PLAIN, prefill)
    assert tokenizer.decode(encoded.prompt_ids) == chat.render_prompt(tokenizer, prompt, PLAIN)
    assert tokenizer.decode(encoded.prompt_ids).endswith("<|im_start|>assistant\n")
    assert tokenizer.decode(encoded.prefill_ids, clean_up_tokenization_spaces=False) == prefill
