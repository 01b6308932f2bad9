"""Which ids a rank attack may pick: one definition for all of them.

A control token as a pick would end the turn and open another one, and decoding would hide it from judge and reader.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from presto_bench.errors import UserError

# Forms of control tokens that some tokenizers declare as ordinary ones: <|start|>, <unused7>, <s>, [INST].
_MARKER = re.compile(
    r"<[|｜].*[|｜]>"
    r"|</?(s|unk|pad|bos|eos|mask|sep|cls|think|thinking|tool_call|tool_response|tools)>"
    r"|<(unused|reserved|extra_id|special)[^<>]*>|<(start|end)_of_\w+>"
    r"|\[/?(INST|UNK|PAD|CLS|SEP|MASK|THINK|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]",
    re.DOTALL,
)


def control_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of markers, however they are declared: special, only added, or named by the chat template."""
    return _control_ids(tokenizer, str(getattr(tokenizer, "chat_template", "") or ""))


def control_strings(tokenizer: Any) -> tuple[str, ...]:
    """The same as they are spelled, longest first."""
    return _control_strings(tokenizer, control_ids(tokenizer))


@lru_cache(maxsize=8)
def _control_strings(tokenizer: Any, ids: frozenset[int]) -> tuple[str, ...]:
    spelled = {token for token in tokenizer.convert_ids_to_tokens(sorted(ids)) if len(token) > 1}
    return tuple(sorted(spelled, key=lambda token: (-len(token), token)))


@lru_cache(maxsize=8)
def _control_ids(tokenizer: Any, template: str) -> frozenset[int]:
    found = set(tokenizer.all_special_ids)
    for token_id, token in tokenizer.added_tokens_decoder.items():
        if token.special or (_looks_marked(token.content) and token.content in template):
            found.add(token_id)
    found |= {token_id for token, token_id in tokenizer.get_vocab().items() if _MARKER.fullmatch(token)}
    return frozenset(found)


def barred(tokenizer: Any, width: int, end_ids: Collection[int]) -> list[int]:
    """Ids below `width` that are no candidates: control tokens but the ends of a turn, ids without text, ids beyond the tokenizer.

    width: of the model's logits, which is often padded.
    """
    silent = _without_text(tokenizer, width) | control_ids(tokenizer)
    return sorted(token_id for token_id in silent - set(end_ids) if token_id < width)


def beyond(tokenizer: Any, rows: int) -> list[str]:
    """Tokens whose ids a table of so many embeddings does not hold."""
    return [token for token, token_id in tokenizer.get_vocab().items() if token_id >= rows]


def require_rows(tokenizer: Any, rows: int, folder: Any) -> None:
    """Refuse a tokenizer that writes ids which the model has no embedding for. Markers may lack one: no text is encoded to them."""
    wanting = set(beyond(tokenizer, rows)) - set(control_strings(tokenizer))
    if wanting:
        raise UserError(
            folder,
            f"its tokenizer knows {len(wanting)} tokens that its {rows} embeddings do not hold, such as {min(wanting)!r}",
            "take the tokenizer that belongs to these weights, or resize the embeddings (`model.resize_token_embeddings`)",
        )


def _without_text(tokenizer: Any, width: int) -> set[int]:
    known = tokenizer.get_vocab()
    return set(range(width)) - {token_id for token, token_id in known.items() if token}


def _looks_marked(token: str) -> bool:
    """A template names line breaks too, which some tokenizers add as tokens."""
    return bool(token.strip()) and not token.strip().isalnum() and any(mark in token for mark in "<[|")
