"""MT-Bench (Zheng et al., arXiv 2306.05685): two turns a question, each answer graded from 1 to 10 by a chat model.

Questions, grading prompts and reference answers are FastChat's files at one commit; temperatures by category, which categories are graded
against a reference, and the form of a rating are facts of its llm_judge (common.py, gen_judgment.py). The judge's machinery is the rubric's:
replies are stored under the question's hash, so that nothing is paid for twice.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from presto_bench import draws, tables
from presto_bench.config.models import SamplingConfig
from presto_bench.config.tasks import MtBench
from presto_bench.data import source_files
from presto_bench.judges import questions
from presto_bench.judges.replies import ReplyStore
from presto_bench.lm import chat, models, template
from presto_bench.lm.decoding import Sampled, continue_rows
from presto_bench.utility.base import Measured, Question, Setting, kept

TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}  # else 0
REFERENCED = {"math", "reasoning", "coding"}
TURNS = 2
_RATING = re.compile(r"\[\[(\d+(?:\.\d+)?)\]\]")


@dataclass(frozen=True)
class Asked:
    """One question of two turns, with reference answers where its category has them."""

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()


def run(config: MtBench, _: Sequence[Question], setting: Setting) -> list[Measured]:
    """A rating of each answer, turn by turn. The held-out requests are not its."""
    asked = read(setting.files, config.questions)
    answers = answer(config, asked, setting)
    prompts = source_files.read("mt_bench_prompts", setting.files["mt_bench_prompts"]).set_index("name")
    answered = [(q, turn) for q in asked for turn in range(TURNS) if None not in answers[q.id][: turn + 1]]
    conversations = {(q.id, turn): grading(prompts, q, answers[q.id], turn) for q, turn in answered}
    ratings = rate(config, conversations, setting)
    return [
        Measured(tables.prompt_id(f"mt_bench {q.id} {turn}"), ratings.get((q.id, turn)), category=q.category)
        for q in asked
        for turn in range(TURNS)
    ]


def read(files: Mapping[str, object], limit: int | None) -> list[Asked]:
    found = source_files.read("mt_bench", files["mt_bench"])
    known = source_files.read("mt_bench_references", files["mt_bench_references"])
    references = {row.question_id: tuple(row.choices[0]["turns"]) for row in known.itertuples()}
    return [
        Asked(
            str(row.question_id),
            row.category,
            tuple(row.turns),
            references.get(row.question_id, ()) if row.category in REFERENCED else (),
        )
        for row in found.head(limit or len(found)).itertuples()
    ]


def answer(config: MtBench, asked: Sequence[Asked], setting: Setting) -> dict[str, list[str | None]]:
    """id -> the arm's answer to each turn; the second is given behind the first. None: its reasoning came to no end, and nothing can follow."""
    said: dict[str, list[str | None]] = {q.id: [] for q in asked}
    for turn in range(TURNS):
        going = [q for q in asked if None not in said[q.id]]
        found = kept(setting, f"turn-{turn}", lambda turn=turn, going=going: _answer(config, going, said, turn, setting))
        for q in asked:
            said[q.id].append(found.get(q.id))
    return said


def _answer(
    config: MtBench, asked: Sequence[Asked], said: Mapping[str, Sequence[Any]], turn: int, setting: Setting
) -> dict[str, str | None]:
    """id -> the answer to one turn behind what was said before."""
    found: dict[str, str | None] = {}
    ends, room = chat.end_of_turn(setting.tokenizer, setting.model), models.context_length(setting.model)
    opened = template.leaves_open(setting.tokenizer, setting.chat_format)
    for _, group in pd.Series({q.id: q for q in asked}).groupby(lambda i: TEMPERATURES.get(_of(asked, i).category, 0.0)):
        sampling = setting.sampling or SamplingConfig(temperature=TEMPERATURES.get(group.iloc[0].category, 0.0))
        for start in range(0, len(group), config.batch_size):
            part = list(group.iloc[start : start + config.batch_size])
            rows = [chat.encode_turns(setting.tokenizer, _history(q, said[q.id], turn), setting.chat_format) for q in part]
            longest = min(config.max_new_tokens, room - max(map(len, rows)))
            generators = [draws.generator("mt_bench", q.id, turn) for q in part]
            pick = Sampled(sampling, generators, longest, setting.model.device)
            for q, new in zip(part, continue_rows(setting.model, rows, longest, ends, pick), strict=True):
                found[q.id] = _said(config, setting, new.ids, opened)
    return found


def _said(config: MtBench, setting: Setting, ids: Sequence[int], opened: bool) -> str | None:
    """What a grader reads of an answer. Where the reasoning has come to no end: the reasoning so far, or None, as `unfinished` says."""
    if not chat.reasoning_goes_on(setting.tokenizer, ids, opened):
        return chat.decode(setting.tokenizer, ids, opened)
    return setting.tokenizer.decode(list(ids), skip_special_tokens=True) if config.unfinished == "grade" else None


def _of(asked: Sequence[Asked], wanted: str) -> Asked:
    return next(q for q in asked if q.id == wanted)


def _history(question: Asked, said: Sequence[str], turn: int) -> list[str]:
    """question, answer, question, …: up to the turn that is to be answered."""
    past = [text for pair in zip(question.turns, said[:turn], strict=False) for text in pair]
    return [*past, question.turns[turn]]


def grading(prompts: pd.DataFrame, question: Asked, said: Sequence[str], turn: int) -> list[dict[str, str]]:
    """The grader's conversation about one turn's answer: FastChat's single-answer prompts, with a reference where there is one."""
    kind = "single-math-v1" if question.references else "single-v1"
    prompt = prompts.loc[kind if turn == 0 else f"{kind}-multi-turn"]
    texts = {"{question}": question.turns[0], "{answer}": said[0]}
    for i in range(TURNS):
        texts |= {f"{{question_{i + 1}}}": question.turns[i], f"{{answer_{i + 1}}}": said[i]}
        if question.references:
            texts[f"{{ref_answer_{i + 1}}}"] = question.references[i]
    field = re.compile("|".join(map(re.escape, texts)))  # in one pass: braces in an answer mean nothing
    user = field.sub(lambda found: texts[found[0]], prompt["prompt_template"])
    return [{"role": "system", "content": prompt["system_prompt"]}, {"role": "user", "content": user}]


def rating(text: str | None) -> float | None:
    """The rating that a reply gives, 1 to 10; None where it gives none, one out of range, or two that differ."""
    said = {float(found) for found in _RATING.findall(text or "")}
    return said.pop() if len(said) == 1 and 1 <= min(said) <= 10 else None


def rate(
    config: MtBench, conversations: Mapping[tuple[str, int], list[dict[str, str]]], setting: Setting
) -> dict[tuple[str, int], float | None]:
    return questions.answered(config.judge(), ReplyStore(setting.store), conversations, rating, "mt_bench")
