"""What every way of asking a chat endpoint shares: questions, what became of them, replies as they are read, and the cap on their cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from presto_bench.config.judges import Rubric
from presto_bench.errors import UserError
from presto_bench.judges.replies import Reply, ReplyStore


@dataclass(frozen=True)
class Failure:
    """No reply, and why."""

    reason: str


Questions = Mapping[str, list[dict[str, str]]]  # by key: a chat's messages
# Questions by key -> what became of those that still needed asking; replies are in the store when it returns.
Ask = Callable[[Questions], Mapping[str, Failure]]


def settle(questions: Questions, ask: Ask, settled: Callable[[str], bool]) -> dict[str, Failure]:
    """Ask until each question has a reply that can be read, or has had enough that cannot; what failed altogether, by key."""
    failures: dict[str, Failure] = {}
    open_ones = {key: question for key, question in questions.items() if not settled(key)}
    while open_ones:
        failed = ask(open_ones)
        failures |= failed
        open_ones = {key: question for key, question in open_ones.items() if key not in failed and not settled(key)}
    return failures


class Cap:
    """Stops a judge that has spent what it may."""

    def __init__(self, config: Rubric, store: ReplyStore):
        self.config, self.store = config, store
        self.before = config.price.of(*store.spent(config.name)[1:]) if config.max_cost else 0.0
        self.mine = 0.0

    def reached(self, coming: float = 0.0) -> UserError | None:
        """What to stop with once the cap is spent, or would be with `coming` dollars more."""
        spent = self.before + self.mine
        if not self.config.max_cost or (spent < self.config.max_cost and spent + coming <= self.config.max_cost):
            return None
        more = f", and what comes next may cost ${coming:.2f}" if coming else ""
        return UserError(
            f"{self.config.place}.max_cost",
            f"${spent:.2f} are spent{more}: the cap is ${self.config.max_cost:g}",
            "raise the cap and run snakemake again: replies so far are kept",
        )

    def paid(self, reply: Reply) -> None:
        self.store.paid(self.config.name, reply)
        if self.config.price:
            self.mine += self.config.price.of(reply.prompt_tokens, reply.completion_tokens)


def reply_of(raw: Mapping[str, Any]) -> Reply:
    """One chat completion; text is None where it has no choice or no text."""
    choices, usage = raw.get("choices"), raw.get("usage")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    tokens = usage if isinstance(usage, dict) else {}
    return Reply(
        text if isinstance(text, str) else None,
        choice.get("finish_reason"),
        int(tokens.get("prompt_tokens") or 0),
        int(tokens.get("completion_tokens") or 0),
        dict(raw),
    )
