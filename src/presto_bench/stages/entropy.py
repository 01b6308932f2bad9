"""entropy/<model>/<arm>/seed<n>.parquet: next-token entropy after the prefills that the arm must refuse (dev)."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch

from presto_bench import draws, tables
from presto_bench.attacks.base import held_out_requests
from presto_bench.data import source_files
from presto_bench.lm import chat, finite, folders, models
from presto_bench.lm.forward import logits_at
from presto_bench.measures import ranks
from presto_bench.stages.job import Job

BATCH = 32
LONGEST = 100  # tokens of a source's answer before the place that is looked at


def make(job: Job) -> None:
    model, tokenizer = models.load(job.path("model"), job.model.dtype)
    _write(job, model, tokenizer, list(_places(job, tokenizer)))


def _write(job: Job, model: Any, tokenizer: Any, places: Sequence[tuple[str, str, chat.Encoded]]) -> None:
    """The table `entropy` of (prompt_id, place, ids)."""
    records = []
    for start in range(0, len(places), BATCH):
        part = places[start : start + BATCH]
        rows = [row for _, _, row in part]
        with finite.naming([prompt_id for prompt_id, _, _ in part]):
            logits = logits_at(model, rows, [[len(row.ids) - 1] for row in rows], chat.filler(tokenizer))
        for (prompt_id, place, _), nats in zip(part, ranks.entropy(torch.cat(logits)).tolist(), strict=True):
            records.append((job.model.name, job.wildcards["arm"], job.seed, prompt_id, place, nats))
    tables.write(job.path("entropy"), "entropy", pd.DataFrame(records, columns=list(tables.TABLES["entropy"].columns)))


def of_source(job: Job) -> None:
    """source_entropy/…: the same behind the first tokens of a source's harmful answers, uniform in [1, LONGEST], and on the bare prompts (Figure 7 of the paper)."""
    path = job.path("source")
    model, tokenizer = models.load(job.path("model"), job.model.dtype)
    form = folders.chat_format(job.path("model"), job.chat_format)
    places = []
    for row in source_files.read(path.stem, path).drop_duplicates("prompt").itertuples():
        prompt_id = tables.prompt_id(row.prompt)
        answer = chat.encode_text(tokenizer, row.harmful)
        length = int(draws.generator("entropy_prefill", prompt_id).integers(1, min(len(answer), LONGEST) + 1))
        places += [(prompt_id, "prompt", chat.encode(tokenizer, row.prompt, form))]
        places += [(prompt_id, "prefill", chat.encode(tokenizer, row.prompt, form, answer[:length]))]
    _write(job, model, tokenizer, places)


def _places(job: Job, tokenizer: Any) -> Iterator[tuple[str, str, chat.Encoded]]:
    """(prompt_id, place, ids) of the bare prompt, the attack's prefill and the first tokens of the untouched model's own answer."""
    frames = [tables.read(job.path(name), name) for name in ("prompts", "answers", "prefills")]
    form = folders.chat_format(job.path("model"), job.chat_format)
    for request in held_out_requests(*frames, split="dev"):
        answer = chat.encode_text(tokenizer, request.answer)
        prefills = {"prompt": [], "prefill": chat.encode_text(tokenizer, request.prefill)}
        prefills |= {f"recipe_{depth}": answer[:depth] for depth in job.spec["depths"]}
        for place, prefill in prefills.items():
            yield request.prompt_id, place, chat.encode(tokenizer, request.prompt, form, prefill)
