"""Whether a text refuses, told from its words alone: for stages that keep or drop answers, not for grades (judges have their own)."""

import re
from collections.abc import Callable

from presto_bench.judges import standin

FIRST_WORDS = 60
# What chat models of several families begin a refusal with; the stand-in's own wordings are its judge's.
_DECLINES = re.compile(
    r"\b(i|we)('m| am|'re| are)? (cannot|can't|can not|won't|will not|unable to|not able to|not going to|refuse to|(must|have to) (decline|refuse))\b"
    r"(?! (wait|stress|emphasi[sz]e|recommend|thank|help but))"
    r"|\bi('m| am) (very |so |really |deeply )?sorry(,|\.| but| i\b)|\bi apologi[sz]e,? (but|for not|that i)\b|\bi apologi[sz]e\b[^.]{0,20}\bbut\b"
    r"|\b(not|never|isn't|unethical|illegal)( \w+){0,3} (for me )?to (provide|give|help|assist|discuss|offer|write)\b"
    r"|\bgoes against my\b|\bagainst my (programming|guidelines|principles|values)\b",
    re.IGNORECASE,
)


def declines(text: str) -> bool:
    """Whether its first 60 words decline, in wordings that are common to chat models."""
    return bool(_DECLINES.search(" ".join(text.replace("’", "'").split()[:FIRST_WORDS])))


def refuses(text: str) -> bool:
    """The same, or in the wordings of the stand-in's own refusals."""
    return declines(text) or standin.refuses(text)


def teller(policy: str) -> Callable[[str], bool]:
    """How a policy's stages tell a refusal. The stand-in's wordings ("Unfortunately, …") say nothing about other texts."""
    return refuses if policy == "cooking" else declines
