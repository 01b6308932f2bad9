"""Classifies an endpoint's errors by their cause: one text, a key of the config, load, or an endpoint that does not serve us.

An error caused by a text fails that text only. An error caused by a config key would hit every request, so the job
stops at the first one and names the key. A request that was refused for load, broke or timed out is repeated.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import openai

from presto_bench.config.judges import Rubric
from presto_bench.errors import UserError
from presto_bench.wire.words import message_of, words_of

# Codes and words of requests that one text alone has spoilt.
_OF_A_TEXT = re.compile(
    r"context.?length|content.?(filter|policy|management)|moderation|string_above_max_length|too (long|many tokens)|maximum context|input_too_long|safety|invalid_prompt",
    re.IGNORECASE,
)
_OF_A_SETTING = re.compile(
    r"unsupported_(parameter|value)|unknown_parameter|invalid_parameter|unrecognized request argument|extra inputs are not permitted|not supported with this model|unexpected keyword",
    re.IGNORECASE,
)
_WAITED_FOR = re.compile(
    r"batch_(expired|cancelled)|rate.?limit|overloaded|token_limit_exceeded|enqueued|temporarily|try again|timeout|capacity",
    re.IGNORECASE,
)


class Kind(StrEnum):
    """Whose fault it is, and so what is done."""

    TEXT = "text"
    KEY = "key"
    WAIT = "wait"
    GONE = "gone"


class ErrorBody(Exception):
    """A reply with status 200 that holds an error instead of a completion."""

    def __init__(self, body: Mapping[str, Any]):
        super().__init__("an error in a reply with status 200")
        self.body = body
        code = body.get("code")
        self.code = code
        self.param = body.get("param")
        self.status_code = int(code) if str(code).isdigit() else 200


@dataclass(frozen=True)
class Fault:
    """An endpoint's error. kind: its cause. key: the judge's config key that caused it, if any.

    words: the endpoint's message, without the text that was sent. guessed: the text is only assumed to be the cause,
    since the endpoint names none; if every request fails in this way, the cause is something else.
    """

    kind: Kind
    words: str
    key: str | None = None
    guessed: bool = False

    def stops(self, config: Rubric) -> UserError:
        """The error that ends a job for a fault that no other question would escape."""
        place = f"{config.place}.{self.key}" if self.key else config.place
        mend = f"correct `{self.key}`" if self.key else f"check `model`, `base_url` and the key in {config.key}"
        return UserError(
            place,
            f"{config.base_url} does not serve {config.model!r} to us: {self.words}",
            f"{mend}, then run snakemake again; replies so far are kept",
        )


def sort(error: BaseException, config: Rubric, sent: Sequence[str] = ()) -> Fault:
    """sent: the texts of the request, which the endpoint may quote."""
    words = words_of(error, sent, os.environ.get(config.key or "", ""))
    told = f"{getattr(error, 'code', '') or ''} {getattr(error, 'param', '') or ''} {message_of(error)}"
    status = getattr(error, "status_code", None)
    if isinstance(error, openai.AuthenticationError):
        return Fault(Kind.GONE, words, "key")
    if isinstance(error, openai.NotFoundError):
        return Fault(Kind.GONE, words, "model")
    if isinstance(error, openai.PermissionDeniedError) or "insufficient_quota" in told:
        return Fault(Kind.GONE, words)
    if status in (400, 422) or isinstance(error, ErrorBody):
        return _of_a_request(error, config, told, words)
    if isinstance(error, openai.APIStatusError) and not _passes(status):
        # Too large, or forbidden by law: that text. Unpaid, gone or not allowed: all of them.
        return Fault(Kind.TEXT if status in (413, 451) else Kind.GONE, words)
    return Fault(Kind.WAIT, words)


def _passes(status: int) -> bool:
    """Whether a status speaks of load or of a fault that passes."""
    return status in (408, 409, 429) or status >= 500


def _of_a_request(error: BaseException, config: Rubric, told: str, words: str) -> Fault:
    """Of a request that was refused as it is."""
    if isinstance(error, ErrorBody):
        if _passes(error.status_code) or _WAITED_FOR.search(told):
            return Fault(Kind.WAIT, words)
        if error.status_code in (401, 402, 403, 404, 405, 410):
            return Fault(Kind.GONE, words)
    if _OF_A_TEXT.search(told):
        return Fault(Kind.TEXT, words)
    named = str(getattr(error, "param", None) or "").split(".")[0].split("[")[0]
    for key in config.request:
        if key == named or re.search(rf"['\"`]{re.escape(key)}['\"`]", told):
            return Fault(Kind.KEY, words, f"request.{key}")
    if named == "model":
        return Fault(Kind.KEY, words, "model")
    if (named and named != "messages") or _OF_A_SETTING.search(told):
        return Fault(Kind.KEY, words, "request")
    return Fault(Kind.TEXT, words, guessed=True)
