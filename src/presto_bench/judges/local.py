"""The rubric by a chat model on this machine: for clusters without an endpoint. Greedy, so that a question has one reply."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from presto_bench.config.judges import LocalRubric
from presto_bench.judges.asking import Failure, Questions
from presto_bench.judges.base import Bench
from presto_bench.judges.replies import Reply, ReplyStore
from presto_bench.judges.rubric import RubricJudge, Template
from presto_bench.lm import chat, models, template
from presto_bench.lm.decoding import continue_rows

log = logging.getLogger("presto_bench")


class LocalModel:
    """Asks a model in a folder; it is loaded with the first question."""

    def __init__(self, config: LocalRubric, bench: Bench, store: ReplyStore):
        self.config, self.bench, self.store = config, bench, store

    def __call__(self, questions: Questions) -> Mapping[str, Failure]:
        entry = self.config.model_config_of()
        model, tokenizer = models.load(self.bench.weights, entry.decode_dtype)
        form = entry.chat.format
        opened = template.leaves_open(tokenizer, form)
        rows = {key: _row(tokenizer, messages, form) for key, messages in questions.items()}
        room = models.context_length(model) - self.config.max_new_tokens
        failures = {
            key: Failure(f"{len(row)} tokens exceed this judge's context") for key, row in rows.items() if len(row) > room
        }
        # Of a length, side by side: short questions do not wait for long ones.
        todo = sorted((key for key in rows if key not in failures), key=lambda key: len(rows[key]))
        ends = chat.end_of_turn(tokenizer, model)
        for start in range(0, len(todo), self.config.batch_size):
            part = todo[start : start + self.config.batch_size]
            found = continue_rows(model, [rows[key] for key in part], self.config.max_new_tokens, ends)
            for key, new in zip(part, found, strict=True):
                reply = Reply(chat.decode(tokenizer, new.ids, opened), new.finish, len(rows[key]), len(new.ids))
                self.store.add(key, reply)
                self.store.paid(self.config.name, reply)
            log.info("judge %s: %d of %d replies", self.config.name, start + len(part), len(todo))
        return failures


def _row(tokenizer: Any, messages: list[dict[str, str]], form: chat.ChatFormat) -> list[int]:
    """A template's system prompt is the rubric's own, where it has one."""
    system = next((m["content"] for m in messages if m["role"] == "system"), form.system)
    return chat.encode_prompt(tokenizer, messages[-1]["content"], replace(form, system=system))


def load(config: LocalRubric, bench: Bench) -> RubricJudge:
    store = ReplyStore(bench.store)
    identity = {"judge": "local_rubric", "model": config.weights, "sampling": {"max_new_tokens": config.max_new_tokens}}
    return RubricJudge(config, Template.read(bench.template), identity, store, LocalModel(config, bench, store))
