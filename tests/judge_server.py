"""A local OpenAI-compatible server that grades by what a response says of itself, and can be told to misbehave.

python tests/judge_server.py [--faults 0.2] [--delay 0.5] [--seed 0]      prints its port, then serves until killed

A response that holds "R=0 C=4 S=3" gets these grades; with --guess any other gets some that depend on its text alone. With --faults that share of the calls goes wrong in one of FAULTS; every question
is answered in the end, because its later calls are drawn anew. GET /stats: calls, replies, the most in flight, calls by question.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import re
from collections import Counter

from aiohttp import web

FAULTS = (
    "429 with Retry-After",
    "429",
    "500",
    "503",
    "hang",
    "truncated JSON",
    "empty choices",
    "refuses to judge",
    "out of range",
    "reset",
    "slow drip",
    "a page",
    "a list",
    "null choice",
    "no text",
    "403",
    "error in 200",
)
# Not among those that are drawn without being asked for: they end a job.
ENDS = ("429 for hours", "400 alike", "error of a setting")
GRADES = re.compile(r"R=(\d+) C=(\d+) S=(\d+)")
HANG = 30  # seconds
WELL = {"ends": "completed", "answers": 1.0, "looks": 1}
LABELS = ("full_compliance", "full_refusal", "partial_refusal")


class Server:
    def __init__(self, faults: float, delay: float, seed: int, kinds: list[str], guess: bool = False):
        self.graded = _guessed if guess else _graded
        self.faults, self.delay, self.random, self.kinds = faults, delay, random.Random(seed), kinds
        self.calls: Counter[str] = Counter()
        self.by_kind: Counter[str] = Counter()
        self.replies, self.in_flight, self.most = 0, 0, 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.keys_seen: set[str] = set()
        self.script: list[str] = []

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**28)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self.chat),
                web.post("/v1/files", self.upload),
                web.get("/v1/files/{id}/content", self.download),
                web.post("/v1/batches", self.batch),
                web.get("/v1/batches", self.list),
                web.get("/v1/batches/{id}", self.look),
                web.post("/next-batch", self.next_batch),
                web.post("/batch-script", self.follow_batches),
                web.post("/end-batches", self.end_batches),
                web.post("/script", self.follow),
                web.get("/stats", self.stats),
            ]
        )
        return app

    async def stats(self, request: web.Request) -> web.Response:
        found = {
            "calls": sum(self.calls.values()),
            "replies": self.replies,
            "most": self.most,
            "by_question": dict(self.calls),
            "faults": dict(self.by_kind),
            "batches": len(self.batches),
        }
        return web.json_response(found)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            return await self._chat(request)
        finally:
            self.in_flight -= 1

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if key == "wrong":
            return web.json_response({"error": {"message": f"Incorrect API key provided: {key}"}}, status=401)
        body = await request.json()
        if body["model"] == "absent":
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        asked = body["messages"][-1]["content"]
        self.calls[hashlib.sha256(asked.encode()).hexdigest()] += 1
        if body["model"] == "plain" and "temperature" in body:
            said = (
                "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
            )
            told = {"message": said, "type": "invalid_request_error", "param": "temperature", "code": "unsupported_value"}
            return web.json_response({"error": told}, status=400)
        if "FILTERED" in asked:
            return web.json_response({"error": {"message": asked}}, status=400)
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.script or self.random.random() < self.faults:
            return await self._fault(request, body, asked)
        self.replies += 1
        return web.json_response(self.completion(body, self.graded(asked)))

    async def _fault(self, request: web.Request, body: dict, asked: str) -> web.StreamResponse:
        kind = self.script.pop(0) if self.script else self.random.choice(self.kinds)
        self.by_kind[kind] += 1
        match kind:
            case "well":
                self.replies += 1
                return web.json_response(self.completion(body, self.graded(asked)))
            case "error in 200":
                return web.json_response({"error": {"message": "Provider returned error: overloaded", "code": 502}})
            case "429 for hours":
                return web.json_response(
                    {"error": {"message": "Daily limit reached"}}, status=429, headers={"Retry-After": "7200"}
                )
            case "400 alike":
                return web.json_response({"error": {"message": "This deployment takes no such requests"}}, status=400)
            case "error of a setting":
                return web.json_response({"error": {"message": "Unrecognized request argument supplied: effort"}}, status=400)
            case "429 with Retry-After":
                return web.json_response({"error": {}}, status=429, headers={"Retry-After": "1"})
            case "a page":
                return web.Response(text="<html>Welcome back</html>", content_type="text/html")
            case "a list":
                return web.json_response([])
            case "null choice":
                return web.json_response(self.completion(body, "") | {"choices": [None]})
            case "no text":
                odd = self.completion(body, "")
                odd["choices"][0]["message"]["content"] = [{"type": "text", "text": "1.b 0"}]
                return web.json_response(odd)
            case "403" | "429" | "500" | "503":
                return web.json_response({"error": {}}, status=int(kind))
            case "hang":
                await asyncio.sleep(HANG)
                return web.Response()
            case "truncated JSON":
                return web.Response(
                    text=json.dumps(self.completion(body, self.graded(asked)))[:-40], content_type="application/json"
                )
            case "empty choices":
                return web.json_response(self.completion(body, "") | {"choices": []})
            case "refuses to judge":
                return web.json_response(self.completion(body, "I'm sorry, but I can't help with grading this."))
            case "out of range":
                return web.json_response(self.completion(body, "1.b 0\n2.b 7\n3.b 3"))
            case "reset":
                request.transport.abort()
                return web.Response()
            case "slow drip":
                response = web.StreamResponse(headers={"Content-Type": "application/json"})
                await response.prepare(request)
                with contextlib.suppress(ConnectionError):  # the client has had enough
                    for _ in range(HANG * 5):
                        await response.write(b" ")
                        await asyncio.sleep(0.2)
                return response
        raise AssertionError(kind)

    def completion(self, body: dict, text: str) -> dict:
        return {
            "id": f"chatcmpl-{self.random.getrandbits(64):x}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read()
        return web.json_response(
            {"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "f", "purpose": "batch"}
        )

    async def download(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["id"]])

    async def next_batch(self, request: web.Request) -> web.Response:
        """How the batches from now on behave: {"ends": status, "answers": share, "looks": number before the end, "fits": requests that a batch may hold, "error": of a batch that fails}."""
        self.behaviour, self.batch_script = await request.json(), None
        return web.Response()

    async def follow_batches(self, request: web.Request) -> web.Response:
        """How the next batches behave, one after the other, each as in `next_batch`; those behind them run well. Counts begin anew."""
        self.batch_script = await request.json()
        self.calls.clear()
        return web.Response()

    async def follow(self, request: web.Request) -> web.Response:
        """What happens to the next calls, one after the other: FAULTS, ENDS, or `well`. Counts begin anew."""
        self.script = await request.json()
        self.calls.clear()
        self.by_kind.clear()
        self.replies = 0
        return web.Response()

    async def end_batches(self, request: web.Request) -> web.Response:
        for batch in self.batches.values():
            batch["looks"] = 1
        return web.Response()

    behaviour = WELL
    batch_script: list[dict] | None = None

    async def batch(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if self.batch_script is not None:
            self.behaviour = WELL | (self.batch_script.pop(0) if self.batch_script else {})
        if self.behaviour.get("slow"):  # takes it, and answers too late
            asyncio.get_running_loop().call_soon(self._take, asked)
            await asyncio.sleep(HANG)
        return web.json_response(self._take(asked))

    def _take(self, asked: dict) -> dict:
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        name = f"batch-{len(self.batches)}"
        answered = lines[: round(len(lines) * self.behaviour["answers"])]
        self.random.shuffle(answered)  # results come in any order
        out, bad = [], []
        for line in answered:
            text = line["body"]["messages"][-1]["content"]
            self.calls[hashlib.sha256(text.encode()).hexdigest()] += 1
            status = 400 if "FILTERED" in text else 200
            body = {"error": {}} if status == 400 else self.completion(line["body"], self.graded(text))
            (bad if status == 400 else out).append(
                {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}, "error": None}
            )
        for kind, rows in (("out", out), ("err", bad)):
            # As providers write them: nothing but what JSON asks for is escaped.
            self.files[f"{name}-{kind}"] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": asked["input_file_id"],
            "metadata": asked.get("metadata"),
            "status": "in_progress",
            "output_file_id": None,
            "error_file_id": None,
            **{"looks": self.behaviour["looks"], "ends": self.behaviour["ends"]},
        }
        if len(lines) > self.behaviour.get("fits", len(lines)) or "error" in self.behaviour:
            told = self.behaviour.get("error") or {
                "code": "token_limit_exceeded",
                "message": "Enqueued token limit reached for grader. Limit: 90,000 enqueued tokens.",
            }
            self.batches[name] |= {"ends": "failed", "errors": {"object": "list", "data": [told]}}
            self.files[f"{name}-out"] = self.files[f"{name}-err"] = b""
        return self.batches[name]

    async def list(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": list(self.batches.values()), "has_more": False})

    async def look(self, request: web.Request) -> web.Response:
        found = self.batches.get(request.match_info["id"])
        if found is None:
            return web.json_response({"error": {"message": "no such batch"}}, status=404)
        found["looks"] -= 1
        if found["looks"] <= 0:
            found |= {"status": found["ends"], "output_file_id": f"{found['id']}-out", "error_file_id": f"{found['id']}-err"}
        return web.json_response(found)


def _graded(asked: str) -> str:
    found = GRADES.search(asked)
    if found is None:
        return "There is nothing here that I could grade."
    # A line separator inside a string is no line's end.
    return "1.a It says\u2028so itself.\n" + "\n".join(f"{i}.b {value}" for i, value in enumerate(found.groups(), 1))


def _guessed(asked: str) -> str:
    """Grades of a text that says none: what its hash makes of them. Who asks for a [[rating]] or a label gets one."""
    drawn = hashlib.sha256(asked.encode()).digest()
    if "[[rating]]" in asked:
        return f"It is what it is. Rating: [[{1 + drawn[0] % 10}]]"
    if "label: <" in asked:
        return f"It says so.\nlabel: {LABELS[drawn[0] % 3]}"
    grades = (drawn[0] % 2, 1 + drawn[1] % 5, 1 + drawn[2] % 5)
    return _graded(asked) if GRADES.search(asked) else "\n".join(f"{i}.b {value}" for i, value in enumerate(grades, 1))


async def serve(arguments: argparse.Namespace) -> None:
    server = Server(arguments.faults, arguments.delay, arguments.seed, arguments.kinds or list(FAULTS), arguments.guess)
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", arguments.port)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guess", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--kinds", nargs="*")
    asyncio.run(serve(parser.parse_args()))
