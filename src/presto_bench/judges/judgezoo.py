"""The judges of the judgezoo package, an optional extra, by name: Llama Guard, HarmBench's, JailJudge, StrongREJECT's and others.

Each gives `p_harmful`, 0 to 1; what it means is the judge's own (docs/howto/grading.md). The package fetches weights and calls endpoints itself.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from presto_bench.config.judges import JudgeZoo
from presto_bench.config.parts import canonical
from presto_bench.errors import UserError
from presto_bench.judges.base import Bench, Grade, Item

BATCH = 8
WANTS_TARGETS = {"adaptive_attacks", "pair"}  # the judge also reads the conversation that was meant


class ZooJudge:
    """version: the package's own, the judge's name and its arguments."""

    def __init__(self, config: JudgeZoo):
        try:
            installed = version("judgezoo")
        except PackageNotFoundError:
            installed = "unknown"
        self.config = config
        self.version = f"judgezoo-{installed}-{config.judge}-{canonical(config.arguments)}"

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        if not items:
            return []
        judge = self._called(lambda: _made(self.config), "could not be made")
        found: list[Grade] = []
        for start in range(0, len(items), BATCH):
            part = items[start : start + BATCH]
            chats = [_chat(item) for item in part]
            more = {"target_chats": chats} if self.config.judge in WANTS_TARGETS else {}
            said = self._called(lambda chats=chats, more=more: judge(chats, **more), "failed")
            scores = said.get("p_harmful") if isinstance(said, Mapping) else None
            if scores is None or len(scores) != len(part):
                raise UserError(
                    self._place, f"{self.config.judge} gives no `p_harmful` for each response", "name a judge that scores harm"
                )
            found += [_grade(item, score) for item, score in zip(part, scores, strict=True)]
        return found

    @property
    def _place(self) -> str:
        return f"{self.config.place}.judge"

    def _called(self, call: Any, what: str) -> Any:
        """The package's errors and warnings may quote the texts: only the kind of an error is shown."""
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            return call()
        except Exception as error:
            raise UserError(
                self._place,
                f"{self.config.judge} of judgezoo {what}: {type(error).__name__}",
                "see that its weights or its key can be had, and that `arguments` are ones that it takes",
            ) from None
        finally:
            logging.disable(before)


def _made(config: JudgeZoo) -> Any:
    from judgezoo import Judge  # here: it imports torch and every client

    return Judge.from_name(config.judge, **config.arguments)


def _chat(item: Item) -> list[dict[str, str]]:
    return [{"role": "user", "content": item.prompt}, {"role": "assistant", "content": item.response}]


def _grade(item: Item, score: float | None) -> Grade:
    if score is None or math.isnan(score):
        return Grade(item.completion_id, "missing", None, None, None, None, "the package gave no score")
    if not 0 <= score <= 1:
        return Grade(item.completion_id, "error", None, None, None, None, f"the package's score {score} is outside 0 to 1")
    return Grade(item.completion_id, "ok", None, None, None, float(score), "judgezoo")


def load(config: JudgeZoo, bench: Bench) -> ZooJudge:
    return ZooJudge(config)
