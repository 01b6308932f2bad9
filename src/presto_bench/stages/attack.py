"""attacks/<attack>/<model>/<arm>/seed<n>.parquet: one attack on one arm.

Progress is saved per whole batch, so that a killed job goes on from there to the same bytes: a batch's composition is
part of the spec, and each row's draws are its own.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from presto_bench import progress, registry, tables
from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.errors import UserError
from presto_bench.fingerprint import content_hash
from presto_bench.lm import chat, finite, folders, models, template
from presto_bench.stages.job import Job
from presto_bench.stages.requests import batches_of, requests_of, together

log = logging.getLogger("presto_bench")


def make(job: Job) -> None:
    """The completions of one arm, or of one shard of its batches."""
    attack = job.item("attacks")
    setting, requests = _setting(job), requests_of(job)
    run = registry.runner(attack)
    batches = batches_of(requests, attack.batch_size)
    mine = range(int(job.wildcards.get("shard", 0)), len(batches), int(job.wildcards.get("shards", 1)))
    work = job.work_folder()
    parts, all_parts = [], list(product(attack.variants(), mine))
    for nth, (variant, number) in enumerate(all_parts):
        batch = batches[number]
        part = work / f"{variant}-{number:05d}.parquet"
        if not part.exists():
            started = time.time()
            with progress.part(nth, len(all_parts)):
                completions = in_memory(partial(run, attack, variant, setting=setting), batch, job.note)
            frame = _frame(job, attack.name, variant, completions, setting, (time.time() - started) / len(batch))
            tables.write(part, "completions", frame)
            log.info("%s: batch %d of %d", variant, number + 1, len(batches))
        parts.append(part)
    for remark in setting.model.remarks() if hasattr(setting.model, "remarks") else ():
        job.note(remark)
    _keep_searches(job, work)
    tables.write(job.path("completions"), "completions", together(parts))


def _keep_searches(job: Job, work: Path) -> None:
    """<completions>.searches.jsonl: every step of an attack that searches, owner-only; nothing for others."""
    lines = [path.read_text(encoding="utf-8") for path in sorted(work.glob("search-*.jsonl"))]
    if lines:
        tables.write_text(job.path("completions").with_suffix(".searches.jsonl"), "".join(lines), private=True)


def in_memory(run: Callable[[Sequence[Request]], list[Completion]], batch: Sequence[Request], note: Callable[[str], None]):
    """Completions of a batch; halved for as long as memory runs out. Such a run says so: its bytes need not be another's."""
    try:
        with finite.naming([request.prompt_id for request in batch]):
            return run(batch)
    except RuntimeError as error:
        from accelerate.utils.memory import should_reduce_batch_size

        if len(batch) == 1 or not should_reduce_batch_size(error):
            raise
    # Out here the error's frames, and the memory they hold, are gone.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(batch) // 2
    note(f"memory ran out with {len(batch)} prompts side by side: went on with {half}")
    return in_memory(run, batch[:half], note) + in_memory(run, batch[half:], note)


def _setting(job: Job) -> Setting:
    model, tokenizer = models.load(job.path("model"), job.model.decode_dtype)
    parent = None
    if "parent" in job.input:
        parent, parent_tokenizer = models.load(Path(job.input["parent"]), job.model.decode_dtype)
        if parent_tokenizer.get_vocab() != tokenizer.get_vocab():
            raise UserError(
                job.path("model"),
                "this arm's tokenizer differs from its untouched parent's",
                "guided RAP picks by token id: give such a checkpoint an experiment of its own without this attack",
            )
    ends = chat.end_of_turn(tokenizer, model)
    return Setting(
        model,
        tokenizer,
        folders.chat_format(job.path("model"), job.chat_format),
        job.model.sampling,
        ends,
        models.context_length(model),
        parent=parent,
        helper=job.path("helper") if "helper" in job.input else None,
        sessions=tuple(job.paths("sessions")),
        weights=content_hash(job.path("model")) if "sessions" in job.input else "",
        work=job.work_folder(),
    )


def _frame(
    job: Job, attack: str, variant: str, completions: list[Completion], setting: Setting, seconds: float
) -> pd.DataFrame:
    arm = job.wildcards["arm"]
    opened = template.leaves_open(setting.tokenizer, setting.chat_format)
    said = [chat.spoken(setting.tokenizer, c.prefill_ids, c.token_ids, opened) for c in completions]
    rows = [
        {
            "completion_id": tables.completion_id(job.model.name, arm, job.seed, attack, variant, c.prompt_id, c.sample),
            "model": job.model.name,
            "arm": arm,
            "seed": job.seed,
            "attack": attack,
            "variant": variant,
            "prompt_id": c.prompt_id,
            "sample": c.sample,
            "prefill": prefill,
            "response": response,
            "token_ids": list(c.token_ids),
            "finish": c.finish,
            "steps": c.steps,
            "backtracks": c.backtracks,
            "ranks": list(c.ranks),
            "reasoned": chat.reasoned(setting.tokenizer, c.token_ids, opened and not c.prefill_ids),
            "seconds": seconds,
        }
        for c, (prefill, response) in zip(completions, said, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(tables.TABLES["completions"].columns))
