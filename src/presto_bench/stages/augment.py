"""augmented/<model>/<arm>/seed<n>.parquet: which example, with how long a prefill, stands where in an arm's training."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from presto_bench import tables
from presto_bench.config.training import TrainingConfig
from presto_bench.lm import chat, folders
from presto_bench.stages.job import Job
from presto_bench.training import augment


def make(job: Job) -> None:
    """The table `augmented` of one arm and seed."""
    config = training_config(job)
    tokenizer = folders.load_tokenizer(job.path("model"))
    triples = train_triples(job)
    tokens = lengths(tokenizer, {p: harmful for p, (harmful, _) in triples.items()})
    frame = augment.augment(config, job.seed, tokens, lengths(tokenizer, utility_answers(job)))
    tables.write(job.path("augmented"), "augmented", frame)


def lengths(tokenizer: Any, texts: Mapping[str, str]) -> dict[str, int]:
    """Tokens of each text."""
    return {prompt_id: len(chat.encode_text(tokenizer, text)) for prompt_id, text in texts.items()}


def training_config(job: Job) -> TrainingConfig:
    arm = job.spec["arms"]
    return TrainingConfig.model_validate({k: v for k, v in arm.items() if k in TrainingConfig.model_fields})


def train_triples(job: Job) -> dict[str, tuple[str, str]]:
    """prompt_id -> (harmful, refusal), train dishes only: dev is for tuning, test for the result."""
    triples = tables.read(job.path("triples"), "triples").merge(of_split(job, "train"), on="prompt_id")
    return {r.prompt_id: (r.harmful, r.refusal) for r in triples.itertuples()}


def utility_answers(job: Job) -> dict[str, str]:
    """prompt_id -> the untouched model's own answer, for the benign training requests."""
    answers = tables.read(job.path("answers"), "answers").merge(of_split(job, "train"), on="prompt_id")
    kept = answers[answers["kept"] & (answers["role"] == "benign")]
    return dict(zip(kept["prompt_id"], kept["answer"], strict=True))


def of_split(job: Job, split: str) -> pd.DataFrame:
    prompts = tables.read(job.path("prompts"), "prompts")
    return prompts[prompts["split"] == split]
