"""Held-out answer loss: how much the arm has drifted from the untouched model's own benign answers."""

from collections.abc import Sequence

from presto_bench import progress
from presto_bench.config.tasks import AnswerLoss
from presto_bench.lm import chat, finite
from presto_bench.lm.forward import response_log_probs
from presto_bench.utility.base import Measured, Question, Setting

BATCH = 8


def run(config: AnswerLoss, questions: Sequence[Question], setting: Setting) -> list[Measured]:
    """Mean loss a token (nats) of each answer, weighted by its tokens; none where the model has no likelihoods (blended.py)."""
    if not getattr(setting.model, "has_likelihoods", True):
        return [Measured(q.prompt_id, None) for q in questions]
    rows = [chat.encode(setting.tokenizer, q.prompt, setting.chat_format, "", q.answer) for q in questions]
    log_probs = []
    for start in range(0, len(rows), BATCH):
        progress.tell(start, len(rows), "answers")
        with finite.naming([question.prompt_id for question in questions[start : start + BATCH]]):
            log_probs += response_log_probs(setting.model, rows[start : start + BATCH], chat.filler(setting.tokenizer))
    return [Measured(q.prompt_id, -float(own.mean()), float(len(own))) for q, own in zip(questions, log_probs, strict=True)]
