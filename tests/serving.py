"""A completions server around a model in this process, in three dialects, with the faults that real ones have.

vllm: ids in, "token_id:N" out, log-probabilities of a prompt (as documented for vLLM 0.15 to 0.26); llama.cpp: ids in, ids beside each token
(as its server answers at build 11549); text: text in, text out, as the interface was first published.
"""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import torch

from presto_bench.config.models import SamplingConfig
from presto_bench.lm import chat
from presto_bench.lm.decoding import Sampled, continue_rows


@dataclass
class Behaviour:
    """faults: what is wrong with it, by name. script: statuses of the next calls, before it answers again. then: the model that answers after `changes_after` calls."""

    dialect: str = "vllm"
    faults: frozenset = frozenset()
    limit: int = 20
    script: list = field(default_factory=list)
    retry_after: float | None = None
    delay: float = 0.0
    then: object = None
    changes_after: int = 0


class Server:
    """`model` behind HTTP. calls: bodies so far. at_once: the most that were in flight together. keys: headers that came with them."""

    def __init__(self, model, tokenizer, behaviour):
        self.model, self.tokenizer, self.behaviour = model, tokenizer, behaviour
        self.calls, self.keys, self.at_once, self.now = [], [], 0, 0
        self.lock, self.turn = threading.Lock(), threading.Lock()
        self.ends = chat.end_of_turn(tokenizer, model)

    def answer(self, path, body, key):
        """(status, headers, reply)."""
        with self.lock:
            self.now += 1
            self.at_once = max(self.at_once, self.now)
            self.keys.append(key)
            if body is not None:
                self.calls.append(body)
            scripted = self.behaviour.script.pop(0) if body is not None and self.behaviour.script else None
        try:
            time.sleep(self.behaviour.delay)
            if scripted:
                wait = self.behaviour.retry_after
                return scripted, {} if wait is None else {"Retry-After": str(wait)}, {"error": {"message": "busy"}}
            if path.endswith("/models"):
                entry = (
                    {"id": "tiny", "max_model_len": 512}
                    if self.behaviour.dialect == "vllm"
                    else {"id": "tiny", "meta": {"n_ctx": 512}}
                )
                return 200, {}, {"object": "list", "data": [entry]}
            with self.turn:  # one computation at a time
                return self._completion(body)
        finally:
            with self.lock:
                self.now -= 1

    def _completion(self, body):
        prompt, dialect, faults = body["prompt"], self.behaviour.dialect, self.behaviour.faults
        if dialect == "text" and not isinstance(prompt, str):
            return self._refused("prompt must be a string")
        wanted = body.get("logprobs") or 0
        if max(wanted, body.get("prompt_logprobs") or 0) > self.behaviour.limit and "fewer" not in faults:
            return self._refused(
                f"Requested sample logprobs of {wanted}, which is greater than max allowed: {self.behaviour.limit}"
            )
        ids = self._ids(prompt)
        model = self.model
        if self.behaviour.then is not None and len(self.calls) > self.behaviour.changes_after:
            model = self.behaviour.then
        said, ended = self._said(model, ids, body)
        choice = {"index": 0, "finish_reason": "stop" if ended else "length", "text": self._text(said)}
        if "no logprobs" not in faults:
            choice["logprobs"] = self._logprobs(model, ids, said, min(wanted, self.behaviour.limit), body)
        if dialect == "vllm" and body.get("prompt_logprobs") is not None:
            choice["prompt_logprobs"] = self._of_prompt(model, ids, body["prompt_logprobs"])
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(said)}
        return 200, {}, {"object": "text_completion", "choices": [choice], "usage": usage}

    def _refused(self, message):
        return 400, {}, {"error": {"message": message, "type": "BadRequestError", "code": 400}}

    def _ids(self, prompt):
        if isinstance(prompt, str):
            if "trims" in self.behaviour.faults:
                prompt = prompt.strip()
            ids = self.tokenizer.encode(
                ("\ufeff" if "adds a BOM" in self.behaviour.faults else "") + prompt, add_special_tokens=False
            )
        else:
            ids = list(prompt)
            if "adds a BOM" in self.behaviour.faults:
                ids = [0, *ids]
        if "no prefill" in self.behaviour.faults:
            opening = self.tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)
            at = max(i for i in range(len(ids)) if ids[i : i + len(opening)] == opening)
            return ids[: at + len(opening)]
        return ids

    def _said(self, model, ids, body):
        sampling = SamplingConfig(
            temperature=body["temperature"],
            top_k=body.get("top_k") or 0,
            top_p=body.get("top_p", 1.0),
            min_p=body.get("min_p", 0.0),
        )
        pick = Sampled(sampling, [np.random.default_rng(body.get("seed", 0))], body["max_tokens"], "cpu")
        (found,) = continue_rows(model, [ids], body["max_tokens"], self.ends, pick)
        ended = found.finish == "eos"
        # vLLM and llama.cpp name the end of the turn among their tokens.
        end = [self.ends[0]] if ended and self.behaviour.dialect != "text" else []
        return [*found.ids, *end], ended

    def _text(self, said):
        text = self.tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip() if "trims" in self.behaviour.faults else text

    def _distributions(self, model, ids):
        with torch.inference_mode():
            return model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)

    def _logprobs(self, model, ids, said, n, body):
        if not said:
            return {"tokens": [], "token_logprobs": [], "top_logprobs": [], "content": []}
        rows = self._distributions(model, [*ids, *said])[len(ids) - 1 : -1]
        n = 5 if "fewer" in self.behaviour.faults else n
        steps = [(token, row, row.topk(n).indices.tolist()) for token, row in zip(said, rows, strict=True)]
        if self.behaviour.dialect == "llama.cpp":
            return {
                "content": [
                    {**self._entry(t, row), "top_logprobs": [self._entry(i, row) for i in best]} for t, row, best in steps
                ]
            }
        as_ids = self.behaviour.dialect == "vllm" and body.get("return_tokens_as_token_ids")
        name = (lambda i: f"token_id:{i}") if as_ids else (lambda i: self._name(i))
        return {
            "tokens": [name(t) for t, _, _ in steps],
            "token_logprobs": [float(row[t]) for t, row, _ in steps],
            "top_logprobs": [{name(i): float(row[i]) for i in dict.fromkeys([*best, t])} for t, row, best in steps],
        }

    def _name(self, token):
        text = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
        return text.strip() if "trims" in self.behaviour.faults else text

    def _entry(self, token, row):
        return {"id": token, "token": self._name(token), "logprob": float(row[token])}

    def _of_prompt(self, model, ids, n):
        rows = self._distributions(model, ids)
        told = [None]
        for token, row in zip(ids[1:], rows[:-1], strict=True):
            named = dict.fromkeys([*row.topk(n).indices.tolist(), token])
            told.append({str(i): {"logprob": float(row[i]), "rank": int((row > row[i]).sum()) + 1} for i in named})
        return told


@contextmanager
def serving(model, tokenizer, **behaviour):
    """(server, base_url) for as long as it lasts."""
    server = Server(model, tokenizer, Behaviour(**behaviour))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self, body):
            status, headers, reply = server.answer(self.path, body, self.headers.get("Authorization"))
            data = json.dumps(reply).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json", "Content-Length": len(data)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            self._reply(None)

        def do_POST(self):
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, *_):
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{http.server_address[1]}/v1"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
