"""What every utility task takes and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from presto_bench import tables
from presto_bench.config.models import SamplingConfig
from presto_bench.judges import refusal
from presto_bench.lm.chat import ChatFormat

NO_ANSWER = "unfinished"  # in place of how an answer ended


@dataclass(frozen=True)
class Question:
    """A held-out benign request with the untouched model's own answer; a request of a task's own source has none."""

    prompt_id: str
    prompt: str
    answer: str = ""


@dataclass(frozen=True)
class Setting:
    """files: the public data sets that the task names, by name. store: where graders' replies are kept. work: a folder that outlives a kill.

    refuses: whether a text declines, as the policy's stages tell it. sampling: how answers are decoded; None is the task's own way.
    """

    model: Any
    tokenizer: Any
    chat_format: ChatFormat
    files: Mapping[str, Path] = field(default_factory=dict)
    store: Path = Path("replies")
    work: Path | None = None
    refuses: Callable[[str], bool] = refusal.declines
    sampling: SamplingConfig | None = None


@dataclass(frozen=True)
class Measured:
    """One question's value; the task's figure is the mean over questions, weighted. prompt_id: the question's, the same for every arm.

    value: None where it could not be had: counted as missing, never dropped. label: the grader's word for it, where it has words.
    """

    prompt_id: str
    value: float | None
    weight: float = 1.0
    category: str = "all"
    label: str | None = None


Answer = TypeVar("Answer", str, str | None)


def kept(setting: Setting, name: str, decode: Callable[[], Mapping[str, Answer]]) -> dict[str, Answer]:
    """An arm's answers by question id (None: no answer), decoded once; a rerun after a grader error reuses them."""
    file = setting.work / f"{name}.parquet" if setting.work else None
    if file and file.exists():
        found = tables.read(file, "written")
        return {row.prompt_id: row.text if row.finish == "eos" else None for row in found.itertuples()}
    said = dict(decode())
    if file:
        rows = [
            {"prompt_id": p, "text": text or "", "finish": NO_ANSWER if text is None else "eos"} for p, text in said.items()
        ]
        tables.write(file, "written", pd.DataFrame(rows, columns=list(tables.TABLES["written"].columns)))
    return said


# (config, questions, setting) -> what was measured on each question: those given, or the task's own.
Task = Callable[[Any, Sequence[Question], Setting], list[Measured]]
