"""The one path from (prompt, prefill, response) to token ids and spans.

Training, attacks and evaluation all come through here, so that a prefill is the same ids everywhere. The prefill
and the response are encoded apart and appended: their spans are known, never searched for.
"""

import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from presto_bench.config.models import ChatFormat
from presto_bench.errors import UserError
from presto_bench.lm import template, vocabulary

_BREAK = "\u200b"  # zero width space: splits a spelled special token and is invisible to a reader


@dataclass(frozen=True)
class Encoded:
    """Token ids of one conversation: ids[:prefill_start] is the prompt, then prefill, header and response (unit: tokens).

    header: length of the assistant's header that stands again behind the prefill, where the format reopens the turn; else 0.
    """

    ids: tuple[int, ...]
    prefill_start: int
    response_start: int
    header: int = 0

    @property
    def prefill_end(self) -> int:
        return self.response_start - self.header

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        return self.ids[: self.prefill_start]

    @property
    def prefill_ids(self) -> tuple[int, ...]:
        return self.ids[self.prefill_start : self.prefill_end]

    @property
    def response_ids(self) -> tuple[int, ...]:
        return self.ids[self.response_start :]

    def followed_by(self, response: Sequence[int]) -> list[int]:
        """Ids with another response, which begins with this prefill: the header stays between the two."""
        kept = self.prefill_end - self.prefill_start
        header = self.ids[self.prefill_end : self.response_start]
        return [*self.prompt_ids, *response[:kept], *header, *response[kept:]]


def neutralise(tokenizer: Any, text: str) -> str:
    """`text` in which no control token is spelled; unchanged when it spells none."""
    for control in vocabulary.control_strings(tokenizer):
        text = text.replace(control, control[0] + _BREAK + control[1:])
    return text


def render_prompt(tokenizer: Any, prompt: str, chat: ChatFormat) -> str:
    """The template's text up to the start of the assistant's turn."""
    return render_turns(tokenizer, [prompt], chat)


def render_turns(tokenizer: Any, turns: Sequence[str], chat: ChatFormat, prefilled: bool = False) -> str:
    """The same behind a history: the user's and the assistant's turns alternate, and the last is the user's.

    A block of reasoning that the template leaves open is closed, but where the format asks for reasoning and nothing is prefilled.
    """
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": neutralise(tokenizer, text)} for i, text in enumerate(turns)]
    if chat.system is not None:
        messages.insert(0, {"role": "system", "content": neutralise(tokenizer, chat.system)})
    text = template.render(tokenizer, messages, chat)
    return text if chat.thinking and not prefilled else template.closed(text)


def encode_text(tokenizer: Any, text: str, behind: bool = False) -> list[int]:
    """Ids of a piece of an answer: no special token is added and none can be spelled. behind: it goes on with what stands before it."""
    text = neutralise(tokenizer, text)
    ids = tokenizer.encode(text, add_special_tokens=False)
    return _without_added_space(tokenizer, text, ids) if behind else ids


_ANCHOR = "\n"


def adds_space(tokenizer: Any) -> bool:
    """Whether the tokenizer puts a space before each text that it encodes, as many SentencePiece ones do."""
    return tokenizer.convert_ids_to_tokens(tokenizer.encode("a", add_special_tokens=False))[0].startswith("\u2581")


def _without_added_space(tokenizer: Any, text: str, ids: list[int]) -> list[int]:
    """Ids of `text` without the space that some SentencePiece tokenizers add before every text.

    In the middle of an answer that space is wrong. It is avoided by encoding the text after a line break, whose ids are
    cut off.
    """
    if not ids or not adds_space(tokenizer):
        return ids
    anchor = tokenizer.encode(_ANCHOR, add_special_tokens=False)
    whole = tokenizer.encode(_ANCHOR + text, add_special_tokens=False)
    return whole[len(anchor) :] if whole[: len(anchor)] == anchor else ids


def encode_prompt(tokenizer: Any, prompt: str, chat: ChatFormat) -> list[int]:
    """Ids up to the start of the assistant's turn, with a BOS exactly once where the tokenizer wants one."""
    return encode_turns(tokenizer, [prompt], chat)


def encode_turns(tokenizer: Any, turns: Sequence[str], chat: ChatFormat, prefilled: bool = False) -> list[int]:
    """The same behind a history."""
    return encode_rendered(tokenizer, render_turns(tokenizer, turns, chat, prefilled))


def encode_rendered(tokenizer: Any, text: str) -> list[int]:
    """Ids of a rendered conversation, with a BOS exactly once where the tokenizer wants one."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    bos = tokenizer.bos_token_id
    wants_bos = bos is not None and tokenizer.encode("", add_special_tokens=True)[:1] == [bos]
    if wants_bos and ids[:1] != [bos]:
        ids = [bos, *ids]
    return ids


def encode(
    tokenizer: Any,
    prompt: str,
    chat: ChatFormat,
    prefill: str | list[int] = "",
    response: str | list[int] = "",
    history: Sequence[str] = (),
) -> Encoded:
    """(history ·) prompt · prefill · response. Text is encoded apart; ids are taken as they are (a cut prefill stays cut)."""
    prefill_ids = encode_text(tokenizer, prefill) if isinstance(prefill, str) else list(prefill)
    prompt_ids = encode_turns(tokenizer, [*history, prompt], chat, prefilled=bool(prefill_ids))
    behind = bool(prefill_ids)
    response_ids = encode_text(tokenizer, response, behind) if isinstance(response, str) else list(response)
    header_ids = reopened(tokenizer, chat) if chat.reopen and prefill_ids else []
    start, answer = len(prompt_ids), len(prompt_ids) + len(prefill_ids) + len(header_ids)
    return Encoded((*prompt_ids, *prefill_ids, *header_ids, *response_ids), start, answer, len(header_ids))


def reopened(tokenizer: Any, chat: ChatFormat) -> list[int]:
    """Ids that end the assistant's turn and begin another one: what the template writes behind an answer in the history."""
    ended, text = (template.behind_an_answer(tokenizer, chat, header) for header in (False, True))
    if text == ended:
        raise UserError(
            getattr(tokenizer, "name_or_path", "tokenizer"),
            "its chat template writes no header before an assistant's turn, so that none can be re-inserted",
            "leave arms with `defence: reopen_turn` out for this model",
        )
    return tokenizer.encode(template.closed(text), add_special_tokens=False)


def taught_end(tokenizer: Any) -> int:
    """Id that ends a response in training: the one that the template itself writes there, else the tokenizer's eos."""
    written = template.turn_end(tokenizer)
    found = tokenizer.eos_token_id if written is None else written
    if found is None:
        raise _no_end(tokenizer)
    return found


def end_of_turn(tokenizer: Any, model: Any = None) -> tuple[int, ...]:
    """Ids that end an assistant's turn: what the template writes behind an answer, the generation config's list, the tokenizer's eos."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = configured if isinstance(configured, list | tuple) else [configured]
    found = {i for i in (*ids, tokenizer.eos_token_id, template.turn_end(tokenizer)) if i is not None}
    if not found:
        raise _no_end(tokenizer)
    return tuple(sorted(found))


def _no_end(tokenizer: Any) -> UserError:
    return UserError(tokenizer.name_or_path, "no end-of-turn token", "set eos_token in its tokenizer_config.json")


def filler(tokenizer: Any) -> int:
    """An id to pad with. Padding stands behind a row's end and is never read, so that any id will do."""
    return next((i for i in (tokenizer.eos_token_id, tokenizer.pad_token_id) if i is not None), 0)


def decode(tokenizer: Any, ids: Sequence[int], opened: bool = False) -> str:
    """Text of response ids, without special tokens and without what the model reasoned (method: the graded response).

    opened: the prompt ended inside a block of reasoning (template.leaves_open), so that the response begins in it.
    """
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    marked = _marked(tokenizer, ids)
    kept = template.without_reasoning(marked, opened)
    return text if kept == marked else _unmarked(tokenizer, kept)


def reasoned(tokenizer: Any, ids: Sequence[int], opened: bool = False) -> int:
    """Characters that the model reasoned, which no judge sees."""
    marked = _marked(tokenizer, ids)
    return len(marked) - len(template.without_reasoning(marked, opened))


def reasoning_goes_on(tokenizer: Any, ids: Sequence[int], opened: bool = False) -> bool:
    """Whether a response ends inside a block of reasoning. opened: as for `decode`."""
    return template.ends_in_reasoning(_marked(tokenizer, ids), opened)


def _marked(tokenizer: Any, ids: Sequence[int]) -> str:
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _unmarked(tokenizer: Any, text: str) -> str:
    for control in vocabulary.control_strings(tokenizer):
        text = text.replace(control, "")
    return text


def spoken(tokenizer: Any, prefill: Sequence[int], picked: Sequence[int], opened: bool = False) -> tuple[str, str]:
    """(prefill, response) as text; the response includes the prefill and is decoded in one piece.

    The prefill is the text with which both its own decoding and the response begin. So a character or word that the
    prefill's end splits is whole in the response, and counts as the model's own. opened: as for `decode`.
    """
    response = decode(tokenizer, [*prefill, *picked], opened and not prefill)
    begun = decode(tokenizer, list(prefill))
    return os.path.commonprefix([begun, response]), response  # noqa: RUF071 — text, not paths


def continued(tokenizer: Any, prefill: Sequence[int], picked: Sequence[int]) -> str:
    """What the picked ids add to the prefill's text."""
    begun, response = spoken(tokenizer, prefill, picked)
    return response[len(begun) :]


def fits(encoded: Encoded, room: int, limit: int) -> bool:
    """Whether a request can be answered within the model's context (all in tokens)."""
    return len(encoded.ids) + room <= limit


def require_fit(encoded: Encoded, room: int, limit: int, prompt_id: str) -> None:
    """Refuse a request that cannot be answered within the model's context (all in tokens)."""
    if fits(encoded, room, limit):
        return
    raise UserError(
        f"prompt {prompt_id}",
        f"{len(encoded.ids)} tokens with room for {room} more exceed the model's context of {limit}",
        "shorten the prompt or prefill, or lower max_new_tokens",
    )
