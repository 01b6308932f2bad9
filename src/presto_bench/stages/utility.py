"""utility/<task>/<model>/<arm>/seed<n>.parquet: one task on one arm, over the held-out benign requests or a public set's."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from presto_bench import registry, tables
from presto_bench.config.models import ChatFormat, SamplingConfig
from presto_bench.data import source_files
from presto_bench.judges import refusal
from presto_bench.lm import folders, models
from presto_bench.stages.job import Job
from presto_bench.utility.base import Question, Setting


def make(job: Job) -> None:
    task = job.whole_item("tasks")
    files = {path.stem: path for path in job.paths("sources")}
    questions = (
        _of_source(files[task.source]) if getattr(task, "source", None) else _held_out(job, getattr(task, "split", "test"))
    )
    model, tokenizer = models.load(job.path("model"), job.model.decode_dtype if task.decodes else job.model.dtype)
    setting = Setting(
        model,
        tokenizer,
        _chat_format(task, folders.chat_format(job.path("model"), job.chat_format)),
        files,
        Path(job.settings["reply_store"]),
        job.work_folder(),
        refusal.teller(job.spec["policy"]),
        _sampling(task, job),
    )
    measured = registry.runner(task)(task, questions, setting)
    rows = [
        {"model": job.model.name, "arm": job.wildcards["arm"], "seed": job.seed, "task": task.name, **asdict(found)}
        for found in measured
    ]
    tables.write(job.path("utility"), "utility", pd.DataFrame(rows, columns=list(tables.TABLES["utility"].columns)))


def _chat_format(task: Any, of_arm: ChatFormat) -> ChatFormat:
    """How the arm is asked: as everywhere, but for what the task sets itself."""
    changed = {name: value for name in ("system", "thinking") if (value := getattr(task, name, None)) is not None}
    return replace(of_arm, **changed)


def _sampling(task: Any, job: Job) -> SamplingConfig | None:
    wanted = getattr(task, "sampling", None)
    return job.model.sampling if wanted == "model" else wanted


def _held_out(job: Job, split: str) -> list[Question]:
    """The benign requests of a split that the untouched model answered."""
    prompts = tables.read(job.path("prompts"), "prompts")
    answers = tables.read(job.path("answers"), "answers")
    held_out = prompts[(prompts["role"] == "benign") & (prompts["split"] == split)]
    frame = answers[answers["kept"]].merge(held_out, on="prompt_id")
    return [Question(r.prompt_id, r.prompt, r.answer) for r in frame.itertuples()]


def _of_source(path: Path) -> list[Question]:
    """The benign requests of a public set; XSTest marks its own."""
    frame = source_files.read(path.stem, path)
    if "label" in frame.columns:
        frame = frame[frame["label"] == "safe"]
    return [Question(tables.prompt_id(text), text) for text in frame["prompt"].drop_duplicates()]
