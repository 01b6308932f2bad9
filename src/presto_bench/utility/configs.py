"""Configs of the utility tasks; torch-free."""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from presto_bench.config import Item


class TaskConfig(Item):
    """What every task has. better: the direction in which a model is more useful."""

    runner: ClassVar[str]
    better: ClassVar[Literal["lower", "higher"]]


class AnswerLoss(TaskConfig):
    """Cross-entropy per token on held-out benign answers of the untouched model (nats)."""

    runner = "presto_bench.utility.answer_loss:run"
    better = "lower"
    kind: Literal["answer_loss"]


class RefusalRate(TaskConfig):
    """Share of held-out benign requests that are refused (over-refusal)."""

    runner = "presto_bench.utility.refusal_rate:run"
    better = "lower"
    kind: Literal["refusal_rate"]
    max_new_tokens: PositiveInt = 32
