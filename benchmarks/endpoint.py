"""What asking a model over HTTP costs: guided RAP beside the loaded model, and calls in flight against a server that takes its time.

python benchmarks/endpoint.py FOLDER [--quick] > benchmarks/results/endpoint_<machine>.jsonl

FOLDER is a model's folder, such as results/standin/models/smollm2/untouched/seed0. `endpoint_over_local`: 16 requests, 48 steps, the same picks; the server
holds its rows' caches and reads what arrives together in one pass, as served engines do. `in_flight`: the share of 64 calls at once that are really under way,
against a server that answers after 200 ms. One JSON object a line.
"""

import argparse
import json
import os
import platform
import queue
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from presto_bench.attacks import guided
from presto_bench.attacks.base import Request, Setting
from presto_bench.config.attacks import Guided
from presto_bench.config.endpoint import ServedConfig
from presto_bench.config.models import ChatFormat, SamplingConfig
from presto_bench.lm import chat, models, reading
from presto_bench.lm.served import target
from presto_bench.lm.served.calls import Calls, Kept
from presto_bench.policies import cooking

ROWS, STEPS, AT_ONCE, DELAY = 16, 48, 64, 0.2


class Engine:
    """A model whose rows are asked one token further at a time: what arrives together is one pass, on the caches of the pass before."""

    def __init__(self, model: Any):
        self.model, self.arrived = model, queue.Queue()
        self.held: list[list[int]] = []
        threading.Thread(target=self._work, daemon=True).start()

    def ask(self, ids: list[int]) -> torch.Tensor:
        waiting: Future[torch.Tensor] = Future()
        self.arrived.put((ids, waiting))
        return waiting.result()

    def _work(self) -> None:
        while True:
            batch = [self.arrived.get()]
            while True:
                try:
                    batch.append(self.arrived.get(timeout=0.004))
                except queue.Empty:
                    break
            with torch.inference_mode():
                for (_, waiting), row in zip(batch, self._logits([ids for ids, _ in batch]), strict=True):
                    waiting.set_result(row.float().log_softmax(-1))

    def _logits(self, rows: list[list[int]]) -> torch.Tensor:
        before = {tuple(row): place for place, row in enumerate(self.held)}
        places = [before.get(tuple(row[:-1])) for row in rows]
        if self.held and None not in places:
            self.reader.take(places)
            self.reader.read(torch.tensor([row[-1] for row in rows]))
        else:
            self.reader = reading.reader(self.model, rows, STEPS)
        self.held = rows
        return self.reader.logits


@contextmanager
def serving(answer):
    """base_url of a server that answers each body with answer(body)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet

        def do_GET(self):
            self._send({"data": [{"id": "m"}]})

        def do_POST(self):
            self._send(answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def _send(self, found):
            data = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, *_):
            """Quiet."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()


def completion(row: torch.Tensor, wanted: int, sent: int) -> dict[str, Any]:
    values, ids = row.topk(wanted)
    best = [{"id": i, "token": "", "logprob": v} for i, v in zip(ids.tolist(), values.tolist(), strict=True)]
    content = [{**best[0], "top_logprobs": best}]
    return {
        "choices": [{"text": "", "finish_reason": "length", "logprobs": {"content": content}}],
        "usage": {"prompt_tokens": sent},
    }


def over_local(folder: Path, rows: int, steps: int) -> dict[str, Any]:
    """Seconds of the same attack on the loaded model and over HTTP, and whether the picks are the same."""
    (model, tokenizer), (parent, _) = (models.load(folder, "float32", "cpu") for _ in range(2))
    engine = Engine(models.load(folder, "float32", "cpu")[0])
    dishes = [dish for dish in cooking.dishes() if dish.split == "dev"][:rows]
    requests = [Request(d.name, f"How do I make {d.name}?", f"Sure! To make {d.name}, you") for d in dishes]
    config = Guided(name="guided", kind="guided", k=[20], max_steps=steps)
    ends = chat.end_of_turn(tokenizer, model)

    def timed(attacked: Any) -> tuple[float, list[Any]]:
        setting = Setting(attacked, tokenizer, ChatFormat(), SamplingConfig(), ends, 2048, parent=parent)
        began = time.perf_counter()
        found = guided.run(config, "k20_prefill", requests, setting)
        return time.perf_counter() - began, [c.token_ids for c in found]

    def answer(body):
        return completion(engine.ask(body["prompt"]), body["logprobs"], len(body["prompt"]))

    with serving(answer) as url, tempfile.TemporaryDirectory() as made:
        served = _served(url, folder, Path(made) / "model", tokenizer)
        timed(model)  # warm
        here, mine = timed(model)
        there, theirs = timed(served)
    told = {"name": "endpoint_over_local", "seconds_local": round(here, 2), "seconds_http": round(there, 2)}
    return told | {"ratio": round(there / here, 2), "same_picks": mine == theirs, "requests": rows, "steps": steps}


def _served(url: str, folder: Path, made: Path, tokenizer: Any) -> target.Served:
    """Without the probe of names: the benchmark's server has no text."""
    from presto_bench.lm.served import dialect, probe

    config = ServedConfig(base_url=url, model="m", concurrency=AT_ONCE)
    calls = Calls(config, "benchmark", Kept(made.with_name("calls")))
    row = chat.encode(tokenizer, probe.ASKED, ChatFormat(), probe.BEGUN)
    told = dialect.read(calls.fresh(dialect.next_tokens("m", row.ids, 20)), dialect.Names(tokenizer)).steps[0].best
    found = probe.Found(dialect.Dialect("ids", dialect.CONTENT), None, {probe.PREFILL: told})
    return target.Served(calls, found, tokenizer, folder, "cpu")


def in_flight(calls: int) -> dict[str, Any]:
    """The share of what a server could give that answers after DELAY and takes AT_ONCE calls side by side."""
    row = torch.randn(50).log_softmax(-1)

    def answer(body):
        time.sleep(DELAY)
        return completion(row, 20, len(body["prompt"]))

    with serving(answer) as url:
        asking = Calls(ServedConfig(base_url=url, model="m", concurrency=AT_ONCE), "benchmark", Kept(None))
        bodies = [{"model": "m", "prompt": [5, number], "logprobs": 20} for number in range(calls)]
        asking.all(bodies[:AT_ONCE], lambda raw: 1)  # connections are opened once
        began = time.perf_counter()
        asking.all(bodies[AT_ONCE:], lambda raw: 1)
        took = time.perf_counter() - began
    best = -(-(calls - AT_ONCE) // AT_ONCE) * DELAY
    return {"name": "in_flight", "share": round(best / took, 3), "calls": calls - AT_ONCE, "at_once": AT_ONCE, "delay_s": DELAY}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="4 requests, 8 steps, 256 calls")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    rows, steps, calls = (4, 8, 256) if given.quick else (ROWS, STEPS, 1024)
    machine = {"threads": torch.get_num_threads(), "machine": platform.processor() or platform.machine()}
    for found in (in_flight(calls), over_local(given.folder, rows, steps)):
        print(json.dumps(found | machine), flush=True)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
