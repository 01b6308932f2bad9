"""Over-refusal: share of benign requests that the arm declines in its answer (greedy, unless the task samples); alone, behind a benign prefill, or behind a history.

A grader labels each answer as a full refusal, a partial one or none; without a grader keywords tell.
"""

from collections.abc import Sequence

from presto_bench import draws, progress
from presto_bench.config.tasks import RefusalRate
from presto_bench.judges import questions, refusal_labels, refusal_names
from presto_bench.judges.replies import ReplyStore
from presto_bench.lm import chat, finite, template
from presto_bench.lm.decoding import Sampled, continue_rows
from presto_bench.utility.base import Measured, Question, Setting, kept

BATCH = 64


def run(config: RefusalRate, asked: Sequence[Question], setting: Setting) -> list[Measured]:
    """1 for each request that is refused (in full, where a grader tells), else 0. Behind a prefill only what the arm itself says counts."""
    asked = asked[: config.questions]
    answers = kept(setting, "answers", lambda: _answers(config, asked, setting))
    judge = config.judge()
    if judge is None:
        return [Measured(q.prompt_id, float(setting.refuses(answers[q.prompt_id]))) for q in asked]
    conversations = {q.prompt_id: refusal_labels.messages(q.prompt, answers[q.prompt_id]) for q in asked}
    labels = questions.answered(judge, ReplyStore(setting.store), conversations, refusal_labels.read, "refusal_labels")
    return [_labelled(q, labels[q.prompt_id]) for q in asked]


def _labelled(question: Question, label: str | None) -> Measured:
    value = None if label is None else float(label == refusal_names.FULL)
    return Measured(question.prompt_id, value, label=label)


def _answers(config: RefusalRate, asked: Sequence[Question], setting: Setting) -> dict[str, str]:
    """Request -> what the arm says itself."""
    rows = [row(config, asked, i, setting) for i in range(len(asked))]
    ends, said = chat.end_of_turn(setting.tokenizer, setting.model), []
    for start in range(0, len(rows), BATCH):
        batch = [question.prompt_id for question in asked[start : start + BATCH]]
        with progress.part(start // BATCH, -(-len(rows) // BATCH)), finite.naming(batch):
            part = rows[start : start + BATCH]
            said += continue_rows(setting.model, part, config.max_new_tokens, ends, _pick(config, batch, setting))
    opened = template.leaves_open(setting.tokenizer, setting.chat_format) and not config.prefill_tokens
    texts = [chat.decode(setting.tokenizer, c.ids, opened) for c in said]
    return {question.prompt_id: text for question, text in zip(asked, texts, strict=True)}


def _pick(config: RefusalRate, batch: Sequence[str], setting: Setting) -> Sampled | None:
    """Draws of each request's own; None is greedy."""
    if setting.sampling is None:
        return None
    generators = [draws.generator("refusal_rate", config.name, prompt_id) for prompt_id in batch]
    return Sampled(setting.sampling, generators, config.max_new_tokens, setting.model.device)


def row(config: RefusalRate, asked: Sequence[Question], i: int, setting: Setting) -> list[int]:
    """Ids that the arm reads: the next requests with their answers as history, the request, the beginning of its own answer."""
    others = [asked[(i + 1 + n) % len(asked)] for n in range(config.history)]
    history = [text for other in others for text in (other.prompt, other.answer)]
    prefill = chat.encode_text(setting.tokenizer, asked[i].answer)[: config.prefill_tokens]
    return list(chat.encode(setting.tokenizer, asked[i].prompt, setting.chat_format, prefill, history=history).ids)
