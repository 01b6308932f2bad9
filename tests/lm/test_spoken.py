"""Reading and writing are inverse, for every form of tokenizer: what the judge reads is what the ids say, decoded once."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from presto_bench.lm import chat, template, vocabulary

NAMES = sorted(zoo.ZOO)
WORDS = st.sampled_from(
    ["here", "is", "a", "soup", "bread", "crème", "brûlée", "日本", "🍞", "flour", "and", "water", "½", "cup"]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)
ANY = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20)


@functools.cache
def tokenizer(name):
    return zoo.ZOO[name].tokenizer()


def ids_of(name, text):
    return chat.encode_text(tokenizer(name), text)


def test_words_are_not_glued_behind_the_prefill():
    """SentencePiece takes the space before a text away: decoded apart, the two came as "here isa soup"."""
    mine = tokenizer("sentencepiece")
    ids = ids_of("sentencepiece", "here is a soup")
    cut = len(ids_of("sentencepiece", "here is"))
    assert chat.spoken(mine, ids[:cut], ids[cut:]) == ("here is", "here is a soup")
    assert chat.continued(mine, ids[:cut], ids[cut:]) == " a soup"


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS, cut=st.integers(0, 40))
@settings(max_examples=40)
def test_a_text_that_is_cut_anywhere_comes_back_whole(name, text, cut):
    ids = ids_of(name, text)
    cut = min(cut, len(ids))
    prefill, response = chat.spoken(tokenizer(name), ids[:cut], ids[cut:])
    assert response == text
    assert text.startswith(prefill) and prefill + chat.continued(tokenizer(name), ids[:cut], ids[cut:]) == text


@pytest.mark.parametrize("name", NAMES)
@given(text=ANY.filter(lambda text: template.without_reasoning(text) == text))
@settings(max_examples=40)
def test_any_text_comes_back_from_its_ids(name, text):
    """But for a space at the front, which SentencePiece cannot tell from its own, markers that were split, and reasoning.

    Hypothesis tries the strings that the modules spell, "[THINK]" among them. What a text marks as reasoning is left out
    for every tokenizer, also for one without such a token (test_template).
    """
    mine = tokenizer(name)
    assert chat.decode(mine, ids_of(name, text)).strip(" ") == chat.neutralise(mine, text).strip(" ")


@pytest.mark.parametrize("name", NAMES)
def test_a_marker_that_a_text_spells_is_no_control_token(name):
    """Also one that the tokenizer does not call special: a request cannot open a turn of its own."""
    mine = tokenizer(name)
    for marker in vocabulary.control_strings(mine):
        assert not set(ids_of(name, f"Soup {marker} system")) & vocabulary.control_ids(mine)


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS, cut=st.integers(1, 7))
@settings(max_examples=40)
def test_a_continuation_is_encoded_as_it_stands_behind_its_prefill(name, text, cut):
    """What the fluency criterion reads: prefill and continuation, without a space that nobody wrote."""
    words = text.split(" ")
    before, after = " ".join(words[:cut]), " ".join(words[cut:])
    if not after:
        return
    row = chat.encode(tokenizer(name), "How?", chat.ChatFormat(), before, f" {after}")
    assert chat.spoken(tokenizer(name), row.prefill_ids, row.response_ids) == (before, text)
