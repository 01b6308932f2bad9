"""top_lists/<model>/<arm>/seed<n>.parquet: the ten likeliest tokens at each step for one request; and the table of several arms, redacted unless asked for."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from presto_bench import tables
from presto_bench.errors import UserError
from presto_bench.lm import chat, folders, models, vocabulary
from presto_bench.measures import top_lists
from presto_bench.stages import openers as openers_of
from presto_bench.stages.job import Job

STEPS = 8
BEHIND, BARE = "behind the prefill", "bare prompt"
REFUSAL, REDACTED = "[refusal]", "[token]"


def make(job: Job) -> None:
    """The lists of one arm behind the prefill, picked as guided RAP picks; of the base on the bare prompt as well, going on with the likeliest."""
    model, tokenizer = models.load(job.path("model"), job.model.decode_dtype)
    parent, _ = models.load(job.path("untouched"), job.model.decode_dtype)
    prompt_id, prompt, prefill = _request(job)
    asked_as = folders.chat_format(job.path("model"), job.chat_format)
    behind = chat.encode(tokenizer, prompt, asked_as, prefill)
    guide = chat.encode(tokenizer, prompt, job.chat_format, prefill)
    barred = vocabulary.barred(tokenizer, model.config.get_text_config().vocab_size, chat.end_of_turn(tokenizer, model))
    found = {BEHIND: top_lists.lists(model, behind.ids, STEPS, barred, parent, guide.ids)}
    if job.wildcards["arm"] == "base":
        found[BARE] = top_lists.lists(model, behind.prompt_ids, STEPS)
    openers = openers_of.of(job, tokenizer)
    rows = [row for place, steps in found.items() for row in _rows(tokenizer, place, steps, openers)]
    frame = pd.DataFrame(rows).assign(model=job.model.name, arm=job.wildcards["arm"], seed=job.seed, prompt_id=prompt_id)
    tables.write(job.path("shown"), "top_lists", frame[list(tables.TABLES["top_lists"].columns)])


def table(job: Job) -> None:
    """tables/top_lists.csv: tokens as text where the policy is harmless or completions are shown; else what kind each is of."""
    frame = pd.concat([tables.read(path, "top_lists") for path in job.paths("lists")], ignore_index=True)
    if not job.spec["show"]:
        frame["token"] = frame["opener"].map({True: REFUSAL, False: REDACTED})
    tables.write_three(job.path("table").with_suffix(""), frame.drop(columns=["token_id", "prompt_id"]))


def _request(job: Job) -> tuple[str, str, str]:
    """(prompt_id, prompt, prefill) of the request that is shown: the one that the config names, else the first that is attacked."""
    prompts = tables.read(job.path("prompts"), "prompts").set_index("prompt_id")
    prefills = tables.read(job.path("prefills"), "prefills").set_index("prompt_id")["prefill"]
    attacked = sorted(prompts.index[(prompts["role"] == "harmful") & (prompts["split"] == "test")])
    wanted = job.spec["request"] or attacked[0]
    if wanted not in attacked:
        raise UserError(
            "shown_request", f"no request {wanted!r} is attacked", f"an id of {job.path('prompts')}, such as {attacked[0]}"
        )
    return wanted, prompts.loc[wanted, "prompt"], prefills[wanted]


def _rows(tokenizer: Any, place: str, steps: Sequence[top_lists.Step], openers: set[int]) -> list[dict[str, Any]]:
    return [
        {
            "place": place,
            "step": number,
            "rank": rank,
            "token_id": token,
            "token": tokenizer.decode([token]),
            "opener": token in openers,
            "probability": probability,
            "picked_rank": step.picked_rank,
        }
        for number, step in enumerate(steps, 1)
        for rank, (token, probability) in enumerate(zip(step.ids, step.probabilities, strict=True), 1)
    ]
