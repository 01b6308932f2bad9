"""Calls to a completions endpoint: a bounded number at once, repeated when it is busy or breaks, none made twice.

Replies are kept as they were read, one line each, in files that only their owner may read: a killed job goes on where it was.
"""

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
from tenacity import Retrying, retry_if_exception, stop_after_attempt

from presto_bench.config.endpoint import ServedConfig, key_of
from presto_bench.config.parts import canonical
from presto_bench.errors import UserError
from presto_bench.tables import json_lines, owner_only
from presto_bench.wire import waiting
from presto_bench.wire.words import words_of

Body = Mapping[str, Any]


class Kept:
    """What was answered so far: a folder of lines, one file a process, so that several jobs may add to it. None keeps nothing beyond this process."""

    def __init__(self, folder: Path | None):
        self.folder, self.known, self.lock = folder, {}, threading.Lock()
        for path in sorted(folder.glob("*.jsonl")) if folder else []:
            for line in json_lines(path.read_text(encoding="utf-8")):
                try:
                    key, reply = json.loads(line)
                except (json.JSONDecodeError, ValueError):  # cut short by a kill
                    continue
                self.known[key] = reply
        self.file = folder / f"{uuid.uuid4().hex}.jsonl" if folder else None

    def add(self, key: str, reply: Any) -> None:
        with self.lock:
            self.known[key] = reply
            if self.file is None:
                return
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with open(self.file, "a", encoding="utf-8", opener=owner_only) as handle:
                    handle.write(json.dumps([key, reply]) + "\n")
            except OSError as error:
                raise UserError(
                    self.file,
                    f"a reply could not be kept: {error.strerror or error}",
                    "free space or fix the folder's permissions, then run snakemake again: replies so far are kept",
                ) from error


class Calls:
    """One job's calls. place: where the config has the endpoint, for messages. identity: of the model behind it, so that another one's replies are not taken."""

    def __init__(self, config: ServedConfig, place: str, kept: Kept, identity: str = ""):
        self.config, self.place, self.kept, self.identity = config, place, kept, identity
        self.made, self.lock = 0, threading.Lock()
        self.client = openai.OpenAI(
            base_url=config.base_url,
            api_key=key_of(config, place),
            timeout=config.timeout,
            max_retries=0,
            # What stays on this machine goes through nobody's proxy.
            http_client=openai.DefaultHttpx2Client(trust_env=False) if config.is_here else None,
        )
        self.pool = ThreadPoolExecutor(config.concurrency)
        self.repeating = Retrying(
            retry=retry_if_exception(self._worth_repeating),
            stop=stop_after_attempt(1 + config.retries),
            wait=waiting.wait,
            reraise=True,
        )

    def all(self, bodies: Sequence[Body], read: Callable[[Mapping[str, Any]], Any]) -> list[Any]:
        """What `read` makes of each reply, in order; equal questions are asked once. What was answered stays known, whatever fails."""
        keys = [self._key(body) for body in bodies]
        missing = {key: body for key, body in zip(keys, bodies, strict=True) if key not in self.kept.known}
        if missing:
            self._require_below_cap(len(missing))
            waited = [self.pool.submit(self._one, key, body, read) for key, body in missing.items()]
            errors = [error for future in waited if (error := future.exception())]
            if errors:
                raise errors[0]
        return [self.kept.known[key] for key in keys]

    def fresh(self, body: Body) -> Mapping[str, Any]:
        """One reply, asked now."""
        return self._asked("/completions", body)

    def models(self) -> Mapping[str, Any]:
        """What the endpoint says that it serves; empty where it does not say."""
        try:
            found = self.client.get("/models", cast_to=object)
        except openai.APIError:
            return {}
        return found if isinstance(found, Mapping) else {}

    def _one(self, key: str, body: Body, read: Callable[[Mapping[str, Any]], Any]) -> None:
        self.kept.add(key, read(self._asked("/completions", body)))

    def _key(self, body: Body) -> str:
        return hashlib.sha256(canonical([self.identity, dict(body)]).encode()).hexdigest()[:32]

    def _require_below_cap(self, coming: int) -> None:
        cap = self.config.max_calls
        if cap is not None and self.made + coming > cap:
            raise UserError(
                f"{self.place}.max_calls",
                f"{self.made} calls were made and {coming} more are wanted: the cap is {cap}",
                "raise the cap and run snakemake again: replies so far are kept",
            )

    def _asked(self, path: str, body: Body) -> Mapping[str, Any]:
        try:
            return self.repeating.copy()(self._once, path, body)
        except (openai.APIError, TimeoutError, ValueError) as error:
            raise self._told(error, body) from error

    def _once(self, path: str, body: Body) -> Mapping[str, Any]:
        with self.lock:
            self.made += 1
        found = self.client.post(path, body=dict(body), cast_to=object)
        if not isinstance(found, Mapping):
            raise ValueError("not a completion")
        return found

    def _worth_repeating(self, error: BaseException) -> bool:
        """Busy, broken or late."""
        if isinstance(error, openai.APIStatusError):
            passes = error.status_code in (408, 409, 429) or error.status_code >= 500
            return passes and waiting.asked_for(error) <= self.config.longest_wait
        return isinstance(error, openai.APIError | TimeoutError | ValueError)

    def _told(self, error: BaseException, body: Body) -> UserError:
        sent = [body["prompt"]] if isinstance(body.get("prompt"), str) else []
        words = words_of(error, sent, os.environ.get(self.config.key or "", "")) if str(error) else type(error).__name__
        asked_for = waiting.asked_for(error)
        if asked_for > self.config.longest_wait:
            return UserError(
                f"{self.place}.longest_wait",
                f"{self.config.base_url} asks to wait {asked_for / 3600:.1f} hours ({words})",
                f"run snakemake again then, or raise `longest_wait` (now {self.config.longest_wait:g} seconds); replies so far are kept",
            )
        if isinstance(error, openai.APIStatusError) and not self._worth_repeating(error) and error.status_code < 500:
            return Refused(
                self.place, f"{self.config.base_url} refuses what is asked: {words}", _mend(error.status_code, self.config)
            )
        return UserError(
            f"{self.place}.base_url",
            f"{self.config.base_url} gave no reply after {1 + self.config.retries} tries: {words}",
            "see that the server runs, then run snakemake again: replies so far are kept",
        )


class Refused(UserError):
    """The server understood the request and does not do what it asks."""


def _mend(status: int, config: ServedConfig) -> str:
    if status in (401, 403):
        return f"check the key in {config.key}" if config.key else "name the variable with its key in `key`"
    if status == 404:
        return f"check `model` ({config.model!r}) and `base_url`, which ends in /v1 as a rule"
    return "ask for what the server can do: its own words say what that is"
