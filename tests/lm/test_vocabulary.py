"""What a rank attack may pick: the same for every form in which a tokenizer declares its control tokens."""

import pytest
import torch

import zoo
from presto_bench.lm import chat, vocabulary
from presto_bench.measures.ranks import top_k, without

MARKERS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<think>",
    "</think>",
    "<s>",
    "</s>",
    "<unk>",
)


@pytest.fixture(scope="module", params=zoo.ZOO)
def tokenizer(request):
    return zoo.ZOO[request.param].tokenizer()


def test_every_marker_is_a_control_token_however_it_is_declared(tokenizer):
    known = tokenizer.get_vocab()
    assert {known[marker] for marker in MARKERS if marker in known} <= vocabulary.control_ids(tokenizer)


def test_words_signs_and_line_breaks_are_none(tokenizer):
    ids = tokenizer.encode("Mix 2 cups [of] flour <br> and\n\nwater!", add_special_tokens=False)
    assert not set(ids) & vocabulary.control_ids(tokenizer)


def test_the_end_of_the_turn_may_be_picked_and_nothing_beyond_the_tokenizer(tokenizer):
    ends = chat.end_of_turn(tokenizer)
    barred = set(vocabulary.barred(tokenizer, len(tokenizer) + 7, ends))
    assert not barred & set(ends)
    assert set(range(len(tokenizer), len(tokenizer) + 7)) <= barred


def test_a_line_break_that_was_added_as_a_token_is_text():
    """As Gemma's: its template names it too."""
    tokenizer = zoo._wrapped(zoo._bytes(None), zoo.PLAIN_CHATML, zoo.CHATML_MARKS, ["\n\n"], eos_token="<|im_end|>")
    assert tokenizer.convert_tokens_to_ids("\n\n") not in vocabulary.control_ids(tokenizer)


def test_barred_ids_are_no_candidates_and_the_others_keep_their_order():
    logits = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0]])
    assert top_k(without(logits, [0, 2]), 3).tolist() == [[1, 3, 4]]
    assert logits[0, 0] == 5.0, "the logits themselves stay"
