"""What an endpoint says went wrong, fit for a log: without keys and without the texts that were sent."""

import re
from collections.abc import Mapping, Sequence

LONGEST = 300  # characters of an endpoint's own words
QUOTED = 16  # a message that repeats so many characters of the request in a row is not logged


def words_of(error: BaseException, sent: Sequence[str] = (), secret: str = "") -> str:
    """What went wrong in the endpoint's own words, without what was sent to it: text of a request and keys are not for logs."""
    status = getattr(error, "status_code", None)
    name = type(error).__name__ + (f" (HTTP {status})" if status else "")
    message = " ".join(message_of(error).split())
    if not message:
        return name
    if any(_quotes(message, " ".join(text.split())) for text in sent):
        return f"{name}; its message quotes the request and is not shown"
    if secret:
        message = message.replace(secret, "…")
    message = re.sub(r"(sk|key|tok)[-_][\w-]{6,}\S*|[\w-]{32,}", "…", message)
    return f"{name}: {message[:LONGEST]}{'…' if len(message) > LONGEST else ''}"


def _quotes(message: str, text: str) -> bool:
    """Whether a stretch of the text stands in the message."""
    if len(text) < QUOTED:
        return bool(text) and text in message
    return any(message[i : i + QUOTED] in text for i in range(max(len(message) - QUOTED + 1, 0)))


def message_of(error: BaseException) -> str:
    """The endpoint's message, of OpenAI's form or another; empty where there is none."""
    body = getattr(error, "body", None)
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        found = inner.get("message") if isinstance(inner, Mapping) else inner
        return found if isinstance(found, str) else ""
    return body if isinstance(body, str) and "<" not in body else ""
