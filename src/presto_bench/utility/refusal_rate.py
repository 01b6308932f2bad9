"""Over-refusal: share of benign requests that the arm declines in its greedy answer; alone, behind a benign prefill, or behind a history."""

from collections.abc import Sequence

from presto_bench import progress
from presto_bench.config.tasks import RefusalRate
from presto_bench.lm import chat, finite, template
from presto_bench.lm.decoding import continue_rows
from presto_bench.utility.base import Measured, Question, Setting

BATCH = 64


def run(config: RefusalRate, questions: Sequence[Question], setting: Setting) -> list[Measured]:
    """1 for each request that is refused, else 0. Behind a prefill only what the arm itself says counts."""
    questions = questions[: config.questions]
    rows = [row(config, questions, i, setting) for i in range(len(questions))]
    ends, said = chat.end_of_turn(setting.tokenizer, setting.model), []
    for start in range(0, len(rows), BATCH):
        asked = [question.prompt_id for question in questions[start : start + BATCH]]
        with progress.part(start // BATCH, -(-len(rows) // BATCH)), finite.naming(asked):
            said += continue_rows(setting.model, rows[start : start + BATCH], config.max_new_tokens, ends)
    opened = template.leaves_open(setting.tokenizer, setting.chat_format) and not config.prefill_tokens
    refused = [setting.refuses(chat.decode(setting.tokenizer, c.ids, opened)) for c in said]
    return [Measured(q.prompt_id, float(found)) for q, found in zip(questions, refused, strict=True)]


def row(config: RefusalRate, questions: Sequence[Question], i: int, setting: Setting) -> list[int]:
    """Ids that the arm reads: the next requests with their answers as history, the request, the beginning of its own answer."""
    others = [questions[(i + 1 + n) % len(questions)] for n in range(config.history)]
    history = [text for other in others for text in (other.prompt, other.answer)]
    prefill = chat.encode_text(setting.tokenizer, questions[i].answer)[: config.prefill_tokens]
    return list(chat.encode(setting.tokenizer, questions[i].prompt, setting.chat_format, prefill, history=history).ids)
