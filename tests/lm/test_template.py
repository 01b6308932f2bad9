"""Templates with a mind of their own: a date, a block of reasoning, an end of turn that is not eos."""

import datetime

import pytest

import tiny_model
import zoo
from presto_bench.config.models import PINNED_DATE, ChatConfig, ChatFormat
from presto_bench.errors import UserError
from presto_bench.lm import chat, template

PLAIN = ChatFormat()


def tokenizer(name):
    return zoo.ZOO[name].tokenizer()


def test_a_prompt_is_the_same_on_every_day():
    dated = tokenizer("dated")
    day = datetime.date.fromisoformat(PINNED_DATE).strftime("%d %b %Y")
    assert f"Today Date: {day}" in chat.render_prompt(dated, "How?", PLAIN)
    assert datetime.date.today().strftime("%d %b %Y") in dated.apply_chat_template(
        [{"role": "user", "content": "How?"}], tokenize=False
    )


def test_the_config_sets_the_date_and_leaves_the_spec_of_others_as_it_was():
    format = ChatConfig(date="2026-02-03").format
    assert "03 Feb 2026" in chat.render_prompt(tokenizer("dated"), "How?", format)
    assert "date" not in ChatConfig().model_dump(mode="json")
    assert ChatConfig(date="2026-02-03").model_dump(mode="json")["date"] == "2026-02-03"


def test_a_date_that_cannot_be_pinned_is_refused():
    dated = tokenizer("dated")
    dated.chat_template = "{% set form = '%Y' %}{{ strftime_now(form) }}" + zoo.PLAIN_CHATML
    with pytest.raises(UserError, match="cannot be pinned"):
        chat.render_prompt(dated, "How?", PLAIN)


def test_an_open_block_of_reasoning_is_closed_before_an_answer():
    reasons = tokenizer("open_reasoning")
    assert chat.render_prompt(reasons, "How?", PLAIN).endswith("<think>\n\n</think>\n\n")
    asked = ChatFormat(thinking=True)
    assert chat.render_prompt(reasons, "How?", asked).endswith("<think>\n"), "it was asked for"
    behind = tokenizer("open_reasoning").decode(chat.encode(reasons, "How?", asked, "Sure").prompt_ids)
    assert behind.endswith("</think>\n\n"), "a prefill is an answer's beginning"


@pytest.mark.parametrize(
    ("said", "opened", "goes_on"),
    [
        ("<think>\nA cook asks and asks", False, True),
        ("<think>\nA cook asks.\n</think>\n\nBread", False, False),
        ("<think>a</think>Step 1.<think>b", False, True),
        ("A cook asks", True, True),
        ("A cook asks.</think>Bread is baked.", True, False),
        ("[THINK]hm", False, True),
        ("[THINK]hm[/THINK]Bread.", False, False),
        ("<|channel|>analysis<|message|>hm", False, True),
        ("<|channel|>analysis<|message|>hm<|channel|>final<|message|>Bread.", False, False),
        ("Bread is baked.", False, False),
    ],
)
def test_reasoning_that_comes_to_no_end_is_told_from_an_answer(said, opened, goes_on):
    assert template.ends_in_reasoning(said, opened) == goes_on


def test_a_prompt_without_reasoning_is_left_alone():
    plain = tokenizer("eos_is_not_the_end_of_turn")
    assert chat.render_prompt(plain, "How?", PLAIN).endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("<think>\nA cook asks.\n</think>\n\nBread is baked.", "Bread is baked."),
        ("Step 1.<think>hm</think>Step 2.<think>hm</think>Step 3.", "Step 1.Step 2.Step 3."),
        ("Bread is baked.</think>Enjoy.", "Bread is baked.</think>Enjoy."),  # nothing had begun: nothing may vanish
        ("<think>\nA cook asks and asks", ""),  # it never came to an answer
        ("[THINK]A cook asks.[/THINK]Bread is baked.", "Bread is baked."),
        (
            "<|channel|>analysis<|message|>A cook asks.<|end|><|start|>assistant<|channel|>final<|message|>Bread is baked.",
            "Bread is baked.",
        ),
        ("Bread is baked.", "Bread is baked."),
    ],
)
def test_what_was_reasoned_is_no_part_of_the_answer(said, answer):
    assert template.without_reasoning(said) == answer


def test_a_block_that_the_prompt_had_begun_ends_in_the_response_or_is_all_of_it():
    assert template.without_reasoning("A cook asks.</think>Bread is baked.", opened=True) == "Bread is baked."
    assert template.without_reasoning("A cook asks and asks", opened=True) == ""
    reasons = tokenizer("open_reasoning")
    assert template.leaves_open(reasons, ChatFormat(thinking=True)) and not template.leaves_open(reasons, PLAIN)
    ids = reasons.encode("A cook asks.</think>Bread is baked.", add_special_tokens=False)
    assert chat.spoken(reasons, (), ids, opened=True) == ("", "Bread is baked.")
    prefill, rest = ids[:3], ids[3:]
    assert chat.spoken(reasons, prefill, rest, opened=True)[1].startswith(reasons.decode(prefill)), (
        "before a prefill the block is closed"
    )


def test_a_header_that_is_set_again_leaves_no_block_open_either():
    reasons = tokenizer("open_reasoning")
    assert reasons.decode(chat.reopened(reasons, ChatFormat(reopen=True))).endswith("</think>\n\n")


def test_reasoning_is_taken_off_and_counted():
    reasons = tokenizer("open_reasoning")
    ids = reasons.encode("<think>\nA cook asks.\n</think>\n\nBread is baked.<|im_end|>", add_special_tokens=False)
    assert chat.decode(reasons, ids) == "Bread is baked."
    assert chat.reasoned(reasons, ids) == len("<think>\nA cook asks.\n</think>\n\n")
    assert chat.reasoned(reasons, reasons.encode("Bread is baked.")) == 0


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("eos_is_not_the_end_of_turn", "<|im_end|>"),
        ("no_eos", "<|im_end|>"),
        ("markers_not_special", "<|im_end|>"),
        ("tiktoken", "<|eot_id|>"),
        ("sentencepiece", "</s>"),
        ("no_system_role", "<end_of_turn>"),
    ],
)
def test_the_end_that_the_template_writes_is_taught_and_ends_an_answer(name, end):
    mine = tokenizer(name)
    assert chat.taught_end(mine) == mine.convert_tokens_to_ids(end)
    assert chat.taught_end(mine) in chat.end_of_turn(mine)


def test_where_the_template_writes_no_control_token_eos_is_the_end():
    mine = tokenizer("eos_is_not_the_end_of_turn")
    mine.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    assert chat.taught_end(mine) == mine.convert_tokens_to_ids("<|endoftext|>")
    mine.eos_token = None
    with pytest.raises(UserError, match="no end-of-turn token"):
        chat.taught_end(mine)


def test_the_demo_s_families_end_their_turns_as_before():
    for family in tiny_model.FORMATS:
        mine = tiny_model.tokenizer(family)
        assert chat.end_of_turn(mine) == (mine.eos_token_id,)
