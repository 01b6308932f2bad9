"""Held-out answer loss: how much the arm has drifted from the untouched model's own benign answers."""

from collections.abc import Sequence

from presto_bench import chat
from presto_bench.forward import response_log_probs
from presto_bench.utility.base import Question, Setting
from presto_bench.utility.configs import AnswerLoss

BATCH = 8


def run(config: AnswerLoss, questions: Sequence[Question], setting: Setting) -> list[tuple[float, float]]:
    """(mean loss a token in nats, tokens) of each answer."""
    rows = [chat.encode(setting.tokenizer, q.prompt, setting.chat_format, "", q.answer) for q in questions]
    found = []
    for start in range(0, len(rows), BATCH):
        for log_probs in response_log_probs(setting.model, rows[start : start + BATCH], setting.tokenizer.eos_token_id):
            found.append((-float(log_probs.mean()), float(len(log_probs))))
    return found
