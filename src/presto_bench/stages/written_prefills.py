"""data/written_prefills.csv: prefills that a base model wrote for requests that have none, and how many failed which check."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from presto_bench import progress, tables
from presto_bench.config.harm import WrittenPrefills
from presto_bench.errors import UserError
from presto_bench.judges import refusal
from presto_bench.lm import models
from presto_bench.lm.decoding import continue_rows
from presto_bench.policies import few_shot, harm
from presto_bench.stages.harm_prompts import source
from presto_bench.stages.job import Job

REFUSES = "refuses"


def fetch(job: Job) -> None:
    """data/prefill_model: the writer, as it is published; it needs no chat template."""
    models.fetch(job.model, job.path("model"), Path("downloads"), chats=False)


def make(job: Job) -> None:
    config = WrittenPrefills.model_validate(job.spec["written_prefills"])
    requests = harm.some(source(job, "test"), job.spec["requests"])
    asked = {tables.prompt_id(prompt): prompt for prompt in requests["prompt"]}
    examples = source(job, "examples")
    found: dict[str, str] = {}
    reasons: dict[str, list[str]] = {}
    for attempt in range(config.attempts):
        missing = {p: prompt for p, prompt in asked.items() if p not in found}
        with progress.part(attempt, config.attempts):
            said = _written(job, config, examples, missing, attempt)
        for prompt_id, text in said.items():
            prefill, problem = few_shot.problem(text, config, few_shot.openings(examples))
            problem = problem or (REFUSES if refusal.declines(prefill) else None)
            if problem:
                reasons.setdefault(prompt_id, []).append(problem)
            else:
                found[prompt_id] = prefill
    checked = few_shot.checks(found, reasons)
    tables.write_text(job.path("checks"), checked.to_csv(index=False))
    _require_all(config, asked, found, reasons)
    frame = pd.DataFrame({"prompt": [asked[p] for p in found], "prefill": list(found.values())})
    tables.write_text(job.path("prefills"), frame.to_csv(index=False), private=True)


def _require_all(
    config: WrittenPrefills, asked: Mapping[str, str], found: Mapping[str, str], reasons: Mapping[str, list[str]]
) -> None:
    absent = [p for p in asked if p not in found]
    if not absent or (config.left_out and found):
        return
    told = ", ".join(f"{reasons[p][-1]} ({p})" for p in absent[:4])
    raise UserError(
        "harm.written_prefills",
        f"{len(absent)} of {len(asked)} requests have no usable prefill after {config.attempts} attempts: {told}",
        "raise `attempts` or `longest`, take a larger model or other examples, or leave such requests out (`left_out: true`)",
    )


def _written(
    job: Job, config: WrittenPrefills, examples: pd.DataFrame, requests: Mapping[str, str], attempt: int
) -> dict[str, str]:
    """prompt_id -> what the model goes on with; batch by batch on disk, so that a killed job goes on."""
    work = job.work_folder()
    ids = sorted(requests, key=lambda p: len(requests[p]))
    said: dict[str, str] = {}
    loaded = None
    for start in range(0, len(ids), config.batch_size):
        part = work / f"prefills-{attempt}-{start:05d}.json"
        if not part.exists():
            loaded = loaded or models.load(job.path("model"), job.model.decode_dtype, chats=False)
            mine = ids[start : start + config.batch_size]
            texts = [few_shot.text(examples, requests[p], config.end_mark, attempt) for p in mine]
            found = dict(zip(mine, _continued(loaded, texts, config.max_new_tokens), strict=True))
            tables.write_text(part, json.dumps(found), private=True)
        said |= json.loads(part.read_text(encoding="utf-8"))
    return said


def _continued(loaded: tuple, texts: list[str], max_new_tokens: int) -> list[str]:
    """Greedy continuations as text."""
    model, tokenizer = loaded
    rows = [tokenizer(text)["input_ids"] for text in texts]
    longest = max(map(len, rows)) + max_new_tokens
    if longest > models.context_length(model):
        raise UserError(
            "harm.written_prefills.model",
            f"examples, request and prefill take {longest} tokens, its context has {models.context_length(model)}",
            "take fewer examples or a model with a longer context",
        )
    ends = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    found = continue_rows(model, rows, max_new_tokens, ends)
    return [tokenizer.decode(list(new.ids), skip_special_tokens=True, clean_up_tokenization_spaces=False) for new in found]
