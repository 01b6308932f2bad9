"""Ask a chat endpoint many questions at once: bounded concurrency, repeated when it is busy or breaks, each reply kept at once.

What was refused for load, broke or took too long is repeated, with backoff and jitter, and never before a Retry-After allows. A call
that still fails is a failure of that question alone, unless nothing works: a refused key, an unknown model, an endpoint that is down.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from presto_bench.errors import UserError
from presto_bench.judges.configs import Rubric, key_of
from presto_bench.judges.replies import Reply, ReplyStore
from presto_bench.judges.rubric import Ask, Failure

log = logging.getLogger("presto_bench")

Questions = Mapping[str, list[dict[str, str]]]
REPORT_EVERY = 500  # replies


def ask(config: Rubric, store: ReplyStore) -> Ask:
    """A way to ask that puts every reply into `store` and returns what failed, by key."""
    return lambda questions: asyncio.run(_Asking(config, store).all(questions))


class _Asking:
    """One round of questions."""

    def __init__(self, config: Rubric, store: ReplyStore):
        self.config, self.store = config, store
        self.failures: dict[str, Failure] = {}
        self.failed_in_a_row, self.replies = 0, 0
        self.cap = Cap(config, store)
        self.repeating = AsyncRetrying(
            retry=retry_if_exception(worth_repeating), stop=stop_after_attempt(1 + config.retries), wait=_wait, reraise=True
        )

    async def all(self, questions: Questions) -> dict[str, Failure]:
        self.client = client(self.config)
        waiting = iter(questions.items())
        async with self.client:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.config.concurrency, len(questions))):
                        group.create_task(self._work(waiting))
            except* UserError as errors:
                raise errors.exceptions[0] from None
        return self.failures

    async def _work(self, waiting: Iterator[tuple[str, list[dict[str, str]]]]) -> None:
        for key, messages in waiting:
            self.cap.check()
            try:
                reply = await self._reply(messages)
            except openai.BadRequestError as error:  # of this text alone: a content filter, a text too long
                self.failures[key] = Failure(f"the endpoint refused this request: {short(error)}")
            except (TimeoutError, openai.APIError, ValueError) as error:
                self._failed(key, error)
            else:
                self.store.add(key, reply)
                self.cap.paid(reply)
                self.failed_in_a_row, self.replies = 0, self.replies + 1
                if self.replies % REPORT_EVERY == 0:
                    log.info("judge %s: %d replies", self.config.name, self.replies)

    async def _reply(self, messages: list[dict[str, str]]) -> Reply:
        async for attempt in self.repeating.copy():
            with attempt:
                async with asyncio.timeout(self.config.timeout):  # of the whole reply: a slow drip is no silence
                    found = await self.client.chat.completions.create(
                        model=self.config.model, messages=messages, extra_body=self.config.request or None
                    )
        return reply_of(found.model_dump(mode="json"))

    def _failed(self, key: str, error: Exception) -> None:
        if hopeless(error):
            raise not_usable(self.config, error)
        self.failures[key] = Failure(f"no reply: {short(error)}")
        self.failed_in_a_row += 1
        if self.failed_in_a_row >= self.config.give_up:
            raise UserError(
                f"judges.{self.config.name}.base_url",
                f"{self.config.base_url} failed {self.failed_in_a_row} times in a row, last with: {short(error)}",
                "see that the endpoint answers, then run snakemake again: replies so far are kept",
            )


class Cap:
    """Stops a judge that has spent what it may."""

    def __init__(self, config: Rubric, store: ReplyStore):
        self.config, self.store = config, store
        self.before = config.price.of(*store.spent(config.name)[1:]) if config.max_cost else 0.0
        self.mine = 0.0

    def check(self) -> None:
        if self.config.max_cost and self.before + self.mine >= self.config.max_cost:
            raise UserError(
                f"judges.{self.config.name}.max_cost",
                f"${self.before + self.mine:.2f} are spent and the cap is ${self.config.max_cost:g}",
                "raise the cap and run snakemake again: replies so far are kept",
            )

    def paid(self, reply: Reply) -> None:
        self.store.paid(self.config.name, reply)
        if self.config.price:
            self.mine += self.config.price.of(reply.prompt_tokens, reply.completion_tokens)


def client(config: Rubric) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=config.base_url, api_key=key_of(config), timeout=config.timeout, max_retries=0)


def worth_repeating(error: BaseException) -> bool:
    """Busy, broken or late, so that the next try may go well."""
    if hopeless(error):
        return False
    if isinstance(error, openai.APIStatusError):
        return error.status_code in (408, 409, 429) or error.status_code >= 500
    return isinstance(error, TimeoutError | openai.APIConnectionError | openai.APIResponseValidationError | ValueError)


def _wait(state: RetryCallState) -> float:
    """Seconds: 0.5, 1, 2, … up to a minute, with jitter; at least what Retry-After says."""
    headers = getattr(getattr(state.outcome.exception(), "response", None), "headers", {})
    return max(wait_exponential_jitter(multiplier=0.5, max=60, jitter=0.5)(state), _retry_after(headers.get("retry-after")))


def _retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as a number or as a date; 0 where it says nothing readable."""
    if header is None:
        return 0.0
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def reply_of(raw: dict[str, Any]) -> Reply:
    """One chat completion; text is None where it has no choice or no content."""
    choice = (raw.get("choices") or [{}])[0]
    usage = raw.get("usage") or {}
    return Reply(
        (choice.get("message") or {}).get("content"),
        choice.get("finish_reason"),
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        raw,
    )


def hopeless(error: Exception) -> bool:
    """Whether every other question would fail alike."""
    refused = isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError | openai.NotFoundError)
    return refused or getattr(error, "code", None) == "insufficient_quota"


def not_usable(config: Rubric, error: Exception) -> UserError:
    return UserError(
        f"judges.{config.name}",
        f"{config.base_url} does not serve {config.model!r} to us: {short(error)}",
        f"check `model`, `base_url` and the key in {config.key}; replies so far are kept",
    )


def short(error: Exception) -> str:
    """What went wrong without what was sent: an endpoint may quote the text or the key it got."""
    status = getattr(error, "status_code", None)
    return type(error).__name__ + (f" (HTTP {status})" if status else "")
