"""utility/<task>/<model>/<arm>/seed<n>.parquet: one task on one arm, over the held-out benign requests."""

import pandas as pd

from presto_bench import models, registry, tables
from presto_bench.jobs import Job
from presto_bench.utility.base import Question, Setting


def make(job: Job) -> None:
    task = job.item("tasks")
    prompts = tables.read(job.path("prompts"), "prompts")
    answers = tables.read(job.path("answers"), "answers")
    held_out = prompts[(prompts["role"] == "benign") & (prompts["split"] == "test")]
    frame = answers[answers["kept"]].merge(held_out, on="prompt_id")
    questions = [Question(r.prompt_id, r.prompt, r.answer) for r in frame.itertuples()]
    model, tokenizer = models.load(job.path("model"), job.model.dtype)
    values = registry.runner(task)(task, questions, Setting(model, tokenizer, job.chat_format))
    rows = [
        {
            "model": job.model.name,
            "arm": job.wildcards["arm"],
            "seed": job.seed,
            "task": task.name,
            "prompt_id": q.prompt_id,
            "value": value,
            "weight": weight,
        }
        for q, (value, weight) in zip(questions, values, strict=True)
    ]
    tables.write(job.path("utility"), "utility", pd.DataFrame(rows, columns=list(tables.TABLES["utility"].columns)))
