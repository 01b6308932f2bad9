"""Ask a chat endpoint many questions at once: bounded concurrency, repeated when it is busy or breaks, each reply kept at once.

What was refused for load, broke or took too long is repeated, with backoff and jitter, and never before a Retry-After allows. A call
that still fails is a failure of that question alone, unless nothing works: a refused key, an unknown model, an endpoint that is down.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import openai
from openai.types.chat import ChatCompletion
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from presto_bench.config.endpoint import key_of
from presto_bench.config.judges import Rubric
from presto_bench.errors import UserError
from presto_bench.judges import faults
from presto_bench.judges.asking import Ask, Cap, Failure, Questions, reply_of
from presto_bench.judges.base import REFUSED
from presto_bench.judges.faults import Kind
from presto_bench.judges.replies import Reply, ReplyStore
from presto_bench.wire import waiting

log = logging.getLogger("presto_bench")

REPORT_EVERY = 500  # replies
ALL_ALIKE = 8  # requests that are refused before any is answered: it is not the texts


def ask(config: Rubric, store: ReplyStore) -> Ask:
    """A way to ask that puts every reply into `store` and returns what failed, by key."""
    return lambda questions: asyncio.run(_Asking(config, store).all(questions))


class _Asking:
    """One round of questions."""

    def __init__(self, config: Rubric, store: ReplyStore):
        self.config, self.store = config, store
        self.failures: dict[str, Failure] = {}
        self.failed_in_a_row, self.refused_alike = 0, 0
        self.replies = store.spent(config.name)[0]  # with earlier runs: an endpoint that has answered before accepts our key
        self.stop: UserError | None = None
        self.cap = Cap(config, store)
        self.repeating = AsyncRetrying(
            retry=retry_if_exception(_worth_repeating(config)),
            stop=stop_after_attempt(1 + config.retries),
            wait=waiting.wait,
            reraise=True,
        )

    async def all(self, questions: Questions) -> dict[str, Failure]:
        self.client = client(self.config)
        waiting = iter(questions.items())
        async with self.client, asyncio.TaskGroup() as group:
            for _ in range(min(self.config.concurrency, len(questions))):
                group.create_task(self._work(waiting))
        if self.stop is not None:
            raise self.stop
        return self.failures

    async def _work(self, waiting: Iterator[tuple[str, list[dict[str, str]]]]) -> None:
        """Ask one question after the other. Whoever finds that it must stop lets the others' requests end: they are paid for."""
        for key, messages in waiting:
            self.stop = self.stop or self.cap.reached()
            if self.stop is not None:
                return
            try:
                reply = await self._reply(messages)
            except (TimeoutError, openai.APIError, faults.ErrorBody, ValueError) as error:
                self._failed(key, faults.sort(error, self.config, [message["content"] for message in messages]), error)
            else:
                self.store.add(key, reply)
                self.cap.paid(reply)
                self.failed_in_a_row, self.refused_alike, self.replies = 0, 0, self.replies + 1
                if self.replies % REPORT_EVERY == 0:
                    log.info("judge %s: %d replies", self.config.name, self.replies)

    async def _reply(self, messages: list[dict[str, str]]) -> Reply:
        async for attempt in self.repeating.copy():
            with attempt:
                async with asyncio.timeout(self.config.timeout):  # of the whole reply: a slow drip is no silence
                    found = await self.client.chat.completions.create(
                        model=self.config.model, messages=messages, extra_body=self.config.request or None
                    )
                if not isinstance(found, ChatCompletion):  # a gateway's page, say
                    raise ValueError("not a chat completion")
                raw = found.model_dump(mode="json", warnings=False)
                if isinstance(raw.get("error"), dict):
                    raise faults.ErrorBody(raw["error"])
        return reply_of(raw)

    def _failed(self, key: str, fault: faults.Fault, error: BaseException) -> None:
        # A gateway that has answered before and forbids one text means that text.
        forbidden = isinstance(error, openai.PermissionDeniedError) and self.replies > 0
        if fault.kind in (Kind.KEY, Kind.GONE) and not forbidden:
            self.stop = self.stop or fault.stops(self.config)
            return
        if fault.kind is Kind.TEXT or forbidden:
            self.failures[key] = Failure(f"{REFUSED}: {fault.words}")
            self.refused_alike += fault.guessed
            if not self.replies and self.refused_alike >= ALL_ALIKE:
                self.stop = self.stop or replace(fault, key="request").stops(self.config)
            return
        asked_for = waiting.asked_for(error)
        if asked_for > self.config.longest_wait:
            self.stop = self.stop or UserError(
                f"{self.config.place}.longest_wait",
                f"{self.config.base_url} asks to wait {asked_for / 3600:.1f} hours ({fault.words})",
                f"run snakemake again then, or raise `longest_wait` (now {self.config.longest_wait:g} seconds); replies so far are kept",
            )
            return
        self.failures[key] = Failure(f"no reply: {fault.words}")
        self.failed_in_a_row += 1
        if self.failed_in_a_row >= self.config.give_up:
            self.stop = self.stop or UserError(
                f"{self.config.place}.base_url",
                f"{self.config.base_url} failed {self.failed_in_a_row} times in a row, last with: {fault.words}",
                "see that the endpoint answers, then run snakemake again: replies so far are kept",
            )


def client(config: Rubric) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=config.base_url,
        api_key=key_of(config, config.place),
        timeout=config.timeout,
        max_retries=0,
        # What stays on this machine goes through nobody's proxy.
        http_client=openai.DefaultAsyncHttpx2Client(trust_env=False) if config.is_here else None,
    )


def _worth_repeating(config: Rubric) -> Callable[[BaseException], bool]:
    """Busy, broken or late, so that the next try may go well; not where the endpoint asks to be left alone for longer than the config allows."""

    def decide(error: BaseException) -> bool:
        if not isinstance(error, TimeoutError | openai.APIError | faults.ErrorBody | ValueError):
            return False
        return faults.sort(error, config).kind is Kind.WAIT and waiting.asked_for(error) <= config.longest_wait

    return decide
