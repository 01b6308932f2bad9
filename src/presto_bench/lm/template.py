"""Renders chat templates with a fixed date and closed blocks of reasoning."""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from presto_bench.config.models import ChatFormat
from presto_bench.errors import UserError
from presto_bench.lm import vocabulary

Messages = Sequence[dict[str, str]]

_TODAY = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
_MARK = "presto"  # an answer whose place in the rendered text is looked for

# What opens a block of reasoning, and what closes it empty.
_REASONING = (
    (re.compile(r"<think>\s*$"), "\n</think>\n\n"),
    (re.compile(r"\[THINK\]\s*$"), "[/THINK]"),
    (re.compile(r"<\|start\|>assistant\s*$"), "<|channel|>final<|message|>"),  # the harmony format names a channel first
)
# Blocks of reasoning in a response, begun and ended or running to its end; behind them the mark of the harmony format's answer.
_REASONED = (
    re.compile(r"<think>.*?(</think>\s*|$)", re.DOTALL),
    re.compile(r"\[THINK\].*?(\[/THINK\]\s*|$)", re.DOTALL),
    re.compile(r"<\|channel\|>(?!final).*?(?=<\|channel\|>final|$)", re.DOTALL),
    re.compile(r"<\|channel\|>final<\|message\|>"),
)
# Those that are begun and not ended.
_GOES_ON = (
    re.compile(r"<think>(?!.*</think>)", re.DOTALL),
    re.compile(r"\[THINK\](?!.*\[/THINK\])", re.DOTALL),
    re.compile(r"<\|channel\|>(?!final)(?!.*<\|channel\|>final)", re.DOTALL),
)


def render(tokenizer: Any, messages: Messages, chat: ChatFormat, header: bool = True) -> str:
    """The conversation as the template writes it. header: with that of the assistant's next turn."""
    template = _dated(tokenizer, chat)
    extra = {} if chat.thinking is None else {"enable_thinking": chat.thinking}
    try:
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=header, chat_template=template, **extra
        )
    except Exception as error:  # jinja2 raises whatever the template's author chose
        raise UserError(
            _name(tokenizer),
            f"its chat template refuses this conversation: {error}",
            "set `chat.system: null` if the template knows no system role",
        ) from error


def dated(tokenizer: Any) -> bool:
    """Whether the template writes today's date."""
    return "strftime_now(" in _text(tokenizer)


def _dated(tokenizer: Any, chat: ChatFormat) -> str:
    """The template with the format's date where it asks for today's: transformers takes no clock from its caller."""
    text = _text(tokenizer)
    if "strftime_now(" not in text:
        return text
    day = date.fromisoformat(chat.date)
    pinned = _TODAY.sub(lambda call: repr(day.strftime(call[2])), text)
    if "strftime_now(" in pinned:
        raise UserError(
            _name(tokenizer),
            "its chat template writes today's date in a form that cannot be pinned, so that no two days give the same prompt",
            "write the date into a copy of the template",
        )
    return pinned


def _text(tokenizer: Any) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            _name(tokenizer),
            "this model has no chat template",
            "use a chat model, or put a chat_template.jinja beside its tokenizer",
        )
    return tokenizer.get_chat_template()


def opens_reasoning(text: str) -> bool:
    """Whether a rendered prompt ends inside a block of reasoning."""
    return any(opened.search(text) for opened, _ in _REASONING)


def before_reasoning(tokenizer: Any, text: str) -> tuple[str, str] | None:
    """(a rendered prompt up to its block of reasoning, what opens the block); None for a model that has none."""
    for opened, _ in _REASONING[:2]:
        found = opened.search(text)
        if found:
            return text[: found.start()], text[found.start() :]
    known = tokenizer.get_vocab()
    return next(
        ((text, opening) for mark, opening in (("<think>", "<think>\n"), ("[THINK]", "[THINK]")) if mark in known), None
    )


def closed(text: str) -> str:
    """A rendered prompt with an empty block of reasoning where it ends inside one: a prefill is an answer's beginning, not a thought's."""
    return text + next((closing for opened, closing in _REASONING if opened.search(text)), "")


def without_reasoning(said: str, opened: bool = False) -> str:
    """A response, its markers still in it, without its blocks of reasoning. opened: its prompt had begun one already."""
    said = f"<think>{said}" if opened else said
    for block in _REASONED:
        said = block.sub("", said)
    return said


def ends_in_reasoning(said: str, opened: bool = False) -> bool:
    """Whether a response, its markers still in it, ends inside a block of reasoning. opened: its prompt had begun one already."""
    said = f"<think>{said}" if opened else said
    return any(block.search(said) for block in _GOES_ON)


@lru_cache(maxsize=8)
def leaves_open(tokenizer: Any, chat: ChatFormat) -> bool:
    """Whether a prompt of this format ends inside a block of reasoning: the template begins one, and the format asks for it."""
    return bool(chat.thinking) and opens_reasoning(render(tokenizer, [{"role": "user", "content": "Hello"}], chat))


def behind_an_answer(tokenizer: Any, chat: ChatFormat, header: bool) -> str:
    """What the template writes behind an answer in the history: the turn's end, and the header of another turn with `header`."""
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": _MARK}]
    text = render(tokenizer, messages, chat, header)
    return text[text.rindex(_MARK) + len(_MARK) :] if _MARK in text else ""


def turn_end(tokenizer: Any) -> int | None:
    """Id of the control token that the template writes right behind an answer; None where it writes none."""
    return _turn_end(tokenizer, _text(tokenizer))


@lru_cache(maxsize=8)
def _turn_end(tokenizer: Any, template: str) -> int | None:
    """template: the tokenizer's; it is part of the key, for a tokenizer may be given another one."""
    try:
        behind = behind_an_answer(tokenizer, ChatFormat(), header=False)
    except UserError:  # a template that knows no finished conversation
        return None
    ids = tokenizer.encode(behind.lstrip(), add_special_tokens=False)
    return ids[0] if ids and ids[0] in vocabulary.control_ids(tokenizer) else None


def _name(tokenizer: Any) -> str:
    return getattr(tokenizer, "name_or_path", "") or "tokenizer"
