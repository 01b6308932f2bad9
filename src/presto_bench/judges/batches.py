"""Ask through the OpenAI Batch API: half the price, within a day. A submitted batch outlives the job that submitted it.

A slip is written beside the replies before a batch is submitted, and again with the batch's id; a job that starts again finds its
slips and waits for those batches instead of paying anew. Results are matched by id; what an expired or failed batch left out is
asked again.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import openai

from presto_bench.config.endpoint import key_of
from presto_bench.config.judges import Rubric
from presto_bench.errors import UserError
from presto_bench.judges import faults
from presto_bench.judges.asking import Ask, Cap, Failure, Questions, reply_of
from presto_bench.judges.base import REFUSED
from presto_bench.judges.faults import Kind
from presto_bench.judges.replies import ReplyStore
from presto_bench.tables import json_lines, write_text

log = logging.getLogger("presto_bench")

LARGEST = 50_000  # requests in a batch
HEAVIEST = 150 * 2**20  # bytes of its file; the interface takes 200 MB
OVER = ("completed", "expired", "cancelled", "failed")
LONGEST_REPLY = 1000  # tokens, where the request sets no limit
ENDPOINT = "/v1/chat/completions"
MARK = "presto_bench"


@dataclass(frozen=True)
class Slip:
    """A batch on its way: the questions it holds; its id once the endpoint gave it one."""

    name: str
    keys: tuple[str, ...]
    batch: str | None = None


def ask(config: Rubric, store: ReplyStore) -> Ask:
    """A way to ask that waits for whole batches. A question is sent at most `config.retries` times."""
    return _Batches(config, store)


class _Batches:
    def __init__(self, config: Rubric, store: ReplyStore):
        self.config, self.store = config, store
        self.folder = store.folder / "batches" / config.name
        self.sent: Counter[str] = Counter()
        self.refused: dict[str, str] = {}  # why a batch as a whole was refused, by question
        self.largest = LARGEST
        self.too_large = 0  # requests in the largest batch of this round that was refused for load
        self.texts: list[str] = []  # what was sent, which an endpoint may quote

    def __call__(self, questions: Questions) -> Mapping[str, Failure]:
        failures = {
            key: Failure(f"no reply in {self.sent[key]} batches{self.refused.get(key, '')}")
            for key in questions
            if self.sent[key] >= self.config.retries
        }
        wanted = {key: messages for key, messages in questions.items() if key not in failures}
        self.texts = [message["content"] for messages in wanted.values() for message in messages]
        self.client = openai.OpenAI(
            base_url=self.config.base_url,
            api_key=key_of(self.config, self.config.place),
            timeout=self.config.timeout,
            max_retries=self.config.retries,
            http_client=openai.DefaultHttpx2Client(trust_env=False) if self.config.is_here else None,
        )
        try:
            with self.client:
                slips = [slip for slip in self._slips() if not wanted.keys().isdisjoint(slip.keys)]
                slips = [slip if slip.batch else self._adopted(slip) for slip in slips]
                on_their_way = {key for slip in slips for key in slip.keys if slip.batch}
                slips = [slip for slip in slips if slip.batch]
                for part in _parts({k: self._line(k, m) for k, m in wanted.items() if k not in on_their_way}, self.largest):
                    slips.append(self._submitted(part))
                for slip in slips:
                    self.sent.update(slip.keys)
                    failures |= self._collected(slip)
            self._make_smaller()
        except openai.APIError as error:
            fault = faults.sort(error, self.config, self.texts)
            if fault.kind in (Kind.KEY, Kind.GONE):
                raise fault.stops(self.config) from None
            raise UserError(
                self.config.place,
                f"the batch interface of {self.config.base_url} failed: {fault.words}",
                "run snakemake again: submitted batches are written down and will be waited for",
            ) from None
        return failures

    def _slips(self) -> list[Slip]:
        found = [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]
        return [Slip(f["name"], tuple(f["keys"]), f["batch"]) for f in found]

    def _write(self, slip: Slip) -> None:
        write_text(self.folder / f"{slip.name}.json", json.dumps(asdict(slip)))

    def _adopted(self, slip: Slip) -> Slip:
        """Look up the batch of a slip whose job died during submission; a slip without a batch is deleted."""
        batch = self._found(slip)
        if batch is None:
            self._slip_path(slip).unlink()
            return slip
        slip = replace(slip, batch=batch.id)
        self._write(slip)
        return slip

    def _found(self, slip: Slip) -> Any | None:
        """The endpoint's batch of a slip."""
        batches = self.client.batches.list(limit=100)
        return next((batch for batch in batches if (batch.metadata or {}).get(MARK) == slip.name), None)

    def _bound(self, part: Mapping[str, bytes]) -> float:
        """US dollars that these requests may cost, about: three bytes a token in, the longest reply out."""
        if self.config.price is None:
            return 0.0
        longest = self.config.request.get("max_completion_tokens") or self.config.request.get("max_tokens") or LONGEST_REPLY
        return self.config.price.of(sum(map(len, part.values())) // 3, len(part) * int(longest))

    def _slip_path(self, slip: Slip) -> Path:
        return self.folder / f"{slip.name}.json"

    def _line(self, key: str, messages: list[dict[str, str]]) -> bytes:
        body = {"model": self.config.model, "messages": messages, **self.config.request}
        return json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}).encode() + b"\n"

    def _submitted(self, part: Mapping[str, bytes]) -> Slip:
        stop = Cap(self.config, self.store).reached(self._bound(part))
        if stop is not None:
            raise stop
        slip = Slip(sha256(repr((sorted(part), time.time())).encode()).hexdigest()[:32], tuple(part))
        self._write(slip)
        file = self.client.files.create(file=(f"{slip.name}.jsonl", b"".join(part.values())), purpose="batch")
        once = self.client.with_options(max_retries=0)  # a second try could buy the same batch twice
        try:
            batch = once.batches.create(
                input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={MARK: slip.name}
            )
        except (openai.APIConnectionError, openai.InternalServerError):  # it may have got through all the same
            batch = self._found(slip)
            if batch is None:
                raise
        slip = replace(slip, batch=batch.id)
        self._write(slip)
        log.info("judge %s: batch %s with %d requests", self.config.name, batch.id, len(part))
        return slip

    def _collected(self, slip: Slip) -> dict[str, Failure]:
        """Wait for a batch and keep its replies; questions that the endpoint refused by themselves."""
        try:
            batch = self.client.batches.retrieve(slip.batch)
        except openai.NotFoundError:  # another endpoint or account than the one that took it
            log.warning("judge %s: the endpoint knows no batch %s; its questions are asked again", self.config.name, slip.batch)
            self._slip_path(slip).unlink(missing_ok=True)
            return {}
        while batch.status not in OVER:
            time.sleep(self.config.poll)
            batch = self.client.batches.retrieve(slip.batch)
        failures, cap = {}, Cap(self.config, self.store)
        for line in self._results(batch):
            key, response = line["custom_id"], line.get("response") or {}
            body = response.get("body") or {}
            if response.get("status_code") == 200 and not isinstance(body.get("error"), dict):
                self._keep(key, body, cap)
                continue
            fault = faults.sort(_of_line(line), self.config, self.texts)
            if fault.kind in (Kind.KEY, Kind.GONE):
                self._slip_path(slip).unlink(missing_ok=True)
                raise fault.stops(self.config)
            if fault.kind is Kind.TEXT:
                failures[key] = Failure(f"{REFUSED}: {fault.words}")
        self._slip_path(slip).unlink(missing_ok=True)
        if batch.status != "completed":
            self._left_out(slip, batch)
        return failures

    def _left_out(self, slip: Slip, batch: Any) -> None:
        """A batch that did not run to its end: what it left out is asked again, unless every other batch would fare alike."""
        errors = (batch.errors.data if batch.errors else None) or []
        told = [faults.sort(faults.ErrorBody(error.model_dump()), self.config, self.texts) for error in errors]
        why = f" ({'; '.join(dict.fromkeys(fault.words for fault in told))})" if told else ""
        self.refused |= dict.fromkeys(slip.keys, why)
        stopping = next((fault for fault in told if fault.kind is not Kind.WAIT), None)
        if batch.status == "failed" and stopping:
            raise replace(stopping, key=stopping.key or "batch").stops(self.config)
        log.warning(
            "judge %s: batch %s is %s%s; what it left out is asked again", self.config.name, batch.id, batch.status, why
        )
        if batch.status == "failed":
            self.too_large = max(self.too_large, len(slip.keys))

    def _make_smaller(self) -> None:
        """After a round in which batches were refused for load: the next ones hold half as much, and go out later."""
        if not self.too_large:
            return
        self.largest, self.too_large = max(self.too_large // 2, 1), 0
        time.sleep(min(self.config.poll * 2 ** max(self.sent.values()), self.config.longest_wait))

    def _results(self, batch: Any) -> Iterator[dict[str, Any]]:
        for file in (batch.output_file_id, batch.error_file_id):
            if file:
                for line in json_lines(self.client.files.content(file).text):
                    try:
                        yield json.loads(line)
                    except json.JSONDecodeError:
                        log.warning("judge %s: a line of batch %s cannot be read", self.config.name, batch.id)

    def _keep(self, key: str, body: Mapping[str, Any], cap: Cap) -> None:
        """Once: a job that died while it collected finds some of its replies kept."""
        if any(attempt.raw.get("id") == body.get("id") for attempt in self.store.get(key)):
            return
        reply = reply_of(dict(body))
        self.store.add(key, reply)
        cap.paid(reply)


def _of_line(line: Mapping[str, Any]) -> faults.ErrorBody:
    """A result's error, of its response or of the batch's own."""
    response = line.get("response") or {}
    inner = (response.get("body") or {}).get("error") or line.get("error") or {}
    found = faults.ErrorBody(inner if isinstance(inner, dict) else {"message": str(inner)})
    if response.get("status_code", 200) != 200:
        found.status_code = response["status_code"]
    return found


def _parts(lines: Mapping[str, bytes], largest: int) -> Iterator[dict[str, bytes]]:
    """Cut into files that the interface takes. largest: requests in one."""
    part: dict[str, bytes] = {}
    size = 0
    for key, line in lines.items():
        if part and (len(part) >= largest or size + len(line) > HEAVIEST):
            yield part
            part, size = {}, 0
        part[key] = line
        size += len(line)
    if part:
        yield part
