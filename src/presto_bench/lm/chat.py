"""The one path from (prompt, prefill, response) to token ids and spans.

Training, attacks and evaluation all come through here, so that a prefill is the same ids everywhere. The prefill
and the response are encoded apart and appended: their spans are known, never searched for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from presto_bench.config.models import ChatFormat
from presto_bench.errors import UserError

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
    """`text` in which no special token is spelled; unchanged when it spells none."""
    for special in sorted(_special_strings(tokenizer), key=len, reverse=True):
        text = text.replace(special, special[0] + _BREAK + special[1:])
    return text


def render_prompt(tokenizer: Any, prompt: str, chat: ChatFormat) -> str:
    """The template's text up to the start of the assistant's turn."""
    return render_turns(tokenizer, [prompt], chat)


def render_turns(tokenizer: Any, turns: Sequence[str], chat: ChatFormat) -> str:
    """The same behind a history: the user's and the assistant's turns alternate, and the last is the user's."""
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            getattr(tokenizer, "name_or_path", "tokenizer"),
            "this model has no chat template",
            "use a chat model, or put a chat_template.jinja beside its tokenizer",
        )
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": neutralise(tokenizer, text)} for i, text in enumerate(turns)]
    if chat.system is not None:
        messages.insert(0, {"role": "system", "content": neutralise(tokenizer, chat.system)})
    extra = {} if chat.thinking is None else {"enable_thinking": chat.thinking}
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **extra)
    except Exception as error:  # jinja2 raises whatever the template's author chose
        raise UserError(
            getattr(tokenizer, "name_or_path", "tokenizer"),
            f"its chat template refuses this conversation: {error}",
            "set `chat.system: null` if the template knows no system role",
        ) from error


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Ids of a piece of an answer: no special token is added and none can be spelled."""
    return tokenizer.encode(neutralise(tokenizer, text), add_special_tokens=False)


def encode_prompt(tokenizer: Any, prompt: str, chat: ChatFormat) -> list[int]:
    """Ids up to the start of the assistant's turn, with a BOS exactly once where the tokenizer wants one."""
    return encode_turns(tokenizer, [prompt], chat)


def encode_turns(tokenizer: Any, turns: Sequence[str], chat: ChatFormat) -> list[int]:
    """The same behind a history."""
    ids = tokenizer.encode(render_turns(tokenizer, turns, chat), add_special_tokens=False)
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
    prompt_ids = encode_turns(tokenizer, [*history, prompt], chat)
    prefill_ids = encode_text(tokenizer, prefill) if isinstance(prefill, str) else list(prefill)
    response_ids = encode_text(tokenizer, response) if isinstance(response, str) else list(response)
    header_ids = reopened(tokenizer, chat) if chat.reopen and prefill_ids else []
    start, answer = len(prompt_ids), len(prompt_ids) + len(prefill_ids) + len(header_ids)
    return Encoded((*prompt_ids, *prefill_ids, *header_ids, *response_ids), start, answer, len(header_ids))


def reopened(tokenizer: Any, chat: ChatFormat) -> list[int]:
    """Ids that end the assistant's turn and begin another one: what the template writes behind an answer in the history."""
    mark = "presto"
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": mark}]
    extra = {} if chat.thinking is None else {"enable_thinking": chat.thinking}
    ended = tokenizer.apply_chat_template(messages, tokenize=False, **extra)
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **extra)
    if text == ended:
        raise UserError(
            getattr(tokenizer, "name_or_path", "tokenizer"),
            "its chat template writes no header before an assistant's turn, so that none can be re-inserted",
            "leave arms with `defence: reopen_turn` out for this model",
        )
    return tokenizer.encode(text[text.rindex(mark) + len(mark) :], add_special_tokens=False)


def end_of_turn(tokenizer: Any, model: Any = None) -> tuple[int, ...]:
    """Ids that end an assistant's turn: the generation config's list where the model has one, else the tokenizer's eos."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = configured if isinstance(configured, list | tuple) else [configured]
    found = {i for i in (*ids, tokenizer.eos_token_id) if i is not None}
    if not found:
        raise UserError(tokenizer.name_or_path, "no end-of-turn token", "set eos_token in its tokenizer_config.json")
    return tuple(sorted(found))


def decode(tokenizer: Any, ids: list[int]) -> str:
    """Text of response ids, special tokens dropped (method: the graded response)."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def require_fit(encoded: Encoded, room: int, limit: int, prompt_id: str) -> None:
    """Refuse a request that cannot be answered within the model's context (all in tokens)."""
    if len(encoded.ids) + room <= limit:
        return
    raise UserError(
        f"prompt {prompt_id}",
        f"{len(encoded.ids)} tokens with room for {room} more exceed the model's context of {limit}",
        "shorten the prompt or prefill, or lower max_new_tokens",
    )


def _special_strings(tokenizer: Any) -> set[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    spelled = {token.content for token in added.values() if token.special} | set(tokenizer.all_special_tokens)
    return {special for special in spelled if len(special) > 1}
