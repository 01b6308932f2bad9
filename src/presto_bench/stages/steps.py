"""steps/<attack>/<model>/<arm>/seed<n>.parquet: what an attacker of ranks saw at each step of a few requests, and what was picked.

The lists are computed again along the responses that the attack got: nothing more needs to be kept while it runs. What it took back is not in them.
"""

from typing import Any

import pandas as pd
import torch

from presto_bench import tables
from presto_bench.lm import chat, folders, models
from presto_bench.lm.forward import response_logits
from presto_bench.measures import candidates, top_lists
from presto_bench.measures.ranks import top_k
from presto_bench.stages import openers as openers_of
from presto_bench.stages.job import Job

REFUSAL, PLAUSIBLE, OTHER = "refusal", "plausible", "other"


def make(job: Job) -> None:
    model, tokenizer = models.load(job.path("model"), job.model.decode_dtype)
    said = _responses(job)
    prompts = _by_id(tables.read(job.path("prompts"), "prompts"), "prompt")
    prefills = _prefills(job)
    asked_as = folders.chat_format(job.path("model"), job.chat_format)
    rows = [_encoded(tokenizer, prompts[one.prompt_id], prefills.get(one.prompt_id, ""), one, asked_as) for one in said]
    found = top_lists.along(model, rows, chat.filler(tokenizer)) if rows else []
    del model
    untouched, _ = models.load(job.path("untouched"), job.model.decode_dtype)
    plain = [_encoded(tokenizer, prompts[one.prompt_id], prefills.get(one.prompt_id, ""), one, job.chat_format) for one in said]
    plausible = _plausible(untouched, plain, chat.filler(tokenizer)) if plain else []
    openers = openers_of.of(job, tokenizer)
    records = [
        {**record, "prompt_id": one.prompt_id}
        for one, steps, likely in zip(said, found, plausible, strict=True)
        for record in _records(tokenizer, steps, likely, openers)
    ]
    frame = pd.DataFrame(records).assign(
        model=job.model.name, arm=job.wildcards["arm"], seed=job.seed, attack=job.wildcards["attack"]
    )
    tables.write(job.path("steps"), "steps", frame.reindex(columns=list(tables.TABLES["steps"].columns)))


def _responses(job: Job) -> list[Any]:
    """Completions of the variant that is shown, of the first requests."""
    frame = tables.read(job.path("completions"), "completions")
    own = frame[(frame["variant"] == job.spec["variant"]) & (frame["sample"] == 0) & (frame["steps"] > 0)]
    return list(own.sort_values("prompt_id").head(job.spec["requests"]).itertuples())


def _prefills(job: Job) -> dict[str, str]:
    """prompt_id -> what its response began with; empty for a variant that starts from nothing."""
    if job.spec["variant"].split("_")[1:2] == ["noprefill"]:
        return {}
    return _by_id(tables.read(job.path("prefills"), "prefills"), "prefill")


def _by_id(frame: pd.DataFrame, column: str) -> dict[str, str]:
    """prompt_id -> the column's text."""
    return dict(zip(frame["prompt_id"], frame[column], strict=True))


def _encoded(tokenizer: Any, prompt: str, prefill: str, one: Any, form: chat.ChatFormat) -> chat.Encoded:
    """Prompt, prefill and what was picked."""
    return chat.encode(tokenizer, prompt, form, prefill, [int(i) for i in one.token_ids])


@torch.inference_mode()
def _plausible(untouched: Any, rows: list[chat.Encoded], pad: int) -> list[list[set[int]]]:
    """Of each row and step, what the untouched model has among its likeliest."""
    return [
        [set(ids) for ids in top_k(logits.float(), candidates.PLAUSIBLE).tolist()]
        for logits in response_logits(untouched, rows, pad)
    ]


def _records(tokenizer: Any, steps: list[top_lists.Step], plausible: list[set[int]], openers: set[int]) -> list[dict[str, Any]]:
    """One a candidate; a pick that lies below the list stands behind it with its own rank."""
    found = []
    for number, (step, likely) in enumerate(zip(steps, plausible, strict=True), 1):
        listed = list(zip(step.ids, step.probabilities, range(1, len(step.ids) + 1), strict=True))
        if step.picked_id not in step.ids:
            listed.append((step.picked_id, 0.0, step.picked_rank))
        found += [
            {
                "step": number,
                "rank": rank,
                "token_id": token,
                "token": tokenizer.decode([token]),
                "kind": REFUSAL if token in openers else PLAUSIBLE if token in likely else OTHER,
                "probability": probability,
                "picked": token == step.picked_id,
            }
            for token, probability, rank in listed
        ]
    return found
