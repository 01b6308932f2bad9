"""One question a place, put to a chat endpoint and read by a function: what tasks need of a grader that is not the rubric's judge."""

import hashlib
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from presto_bench.config.judges import Rubric
from presto_bench.config.parts import canonical
from presto_bench.errors import UserError
from presto_bench.judges import batches, online
from presto_bench.judges.asking import settle
from presto_bench.judges.base import REFUSED
from presto_bench.judges.replies import ReplyStore

Place = TypeVar("Place", bound=Hashable)
Value = TypeVar("Value")


def answered(
    judge: Rubric,
    store: ReplyStore,
    conversations: Mapping[Place, list[dict[str, str]]],
    read: Callable[[str | None], Value | None],
    what: str,
) -> dict[Place, Value | None]:
    """What `read` makes of the reply to each conversation; None where no reply can be read, or where the endpoint refuses a text.

    what: names the kind of question in its key, so that two kinds never share a reply. Equal conversations are asked once.
    Raises a UserError if the endpoint failed on any: a rerun asks for those again and for nothing else.
    """
    identity = {"judge": what, "model": judge.model, "sampling": judge.request}
    keys = {
        place: hashlib.sha256(canonical({**identity, "messages": messages}).encode()).hexdigest()
        for place, messages in conversations.items()
    }

    def best(key: str) -> Value | None:
        return next((found for reply in store.get(key) if (found := read(reply.text)) is not None), None)

    def settled(key: str) -> bool:
        return best(key) is not None or len(store.get(key)) >= judge.attempts

    ask = batches.ask(judge, store) if judge.batch else online.ask(judge, store)
    failures = settle({keys[place]: messages for place, messages in conversations.items()}, ask, settled)
    failed = [failure.reason for failure in failures.values() if not failure.reason.startswith(REFUSED)]
    if failed:
        raise UserError(
            judge.place,
            f"{len(failed)} of {len(set(keys.values()))} answers could not be graded: {failed[0]}",
            "run snakemake again: answers and replies are kept, and only what is missing is asked for",
        )
    return {place: best(key) for place, key in keys.items()}
