"""helpers/<model>/<arm>/seed<n>: AutoRAP's helper, taught by what one arm says behind harmful prefills.

Training dishes teach, dev dishes validate. Of the arm's own continuations only those that the judge marks as refusals
are kept; the share that was dropped is in the validation table.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import LogitsProcessorList

from presto_bench import chat, draws, models, ranks, tables
from presto_bench.attacks import helper
from presto_bench.attacks.helper import shown_to_helper
from presto_bench.config import HelperConfig
from presto_bench.decoding import continue_rows, left_pad
from presto_bench.errors import UserError
from presto_bench.jobs import Job
from presto_bench.judges import standin

log = logging.getLogger("presto_bench")

REFUSAL_TOKENS = 12
TOP = 20
BATCH = 64
VALIDATION_ROUNDS = 3
BINS = np.linspace(0, 1, 6)


@dataclass(frozen=True)
class Material:
    """prompts: prompt_id -> text; harmful: prompt_id -> the target's ids of a whole response; refusals: the target's own, by prompt_id."""

    prompts: Mapping[str, str]
    harmful: Mapping[str, Sequence[int]]
    refusals: Mapping[str, list[tuple[int, ...]]]
    asked: int


def make(job: Job) -> None:
    config = HelperConfig.model_validate(job.spec["helper"])
    target, target_tokenizer = models.load(job.path("target"), job.model.decode_dtype)
    material = {
        split: _material(job, config, target, target_tokenizer, split, limit)
        for split, limit in (("train", config.prompts), ("dev", max(config.prompts // 3, 2)))
    }
    del target
    torch.manual_seed(job.seed)  # the head is new
    model, tokenizer = models.load_helper(job.path("untouched"), getattr(torch, job.model.dtype))

    def rows(lessons: Sequence[helper.Lesson], prompts: Mapping[str, str]) -> list[list[int]]:
        asked = {p: chat.encode_prompt(tokenizer, text, job.chat_format) for p, text in prompts.items()}
        texts = [chat.decode(target_tokenizer, list(lesson.response)) for lesson in lessons]
        pairs = zip(lessons, texts, strict=True)
        return [shown_to_helper(tokenizer, asked[lesson.prompt_id], text, lesson.ends) for lesson, text in pairs]

    lessons = list(islice(_lessons(config, material["train"], target_tokenizer, job.seed), config.steps * config.batch_size))
    harmful = [lesson.harmful for lesson in lessons]
    model = helper.train(model, rows(lessons, material["train"].prompts), harmful, config, job.seed, tokenizer.eos_token_id)
    held_out = material["dev"]
    size = VALIDATION_ROUNDS * len(held_out.harmful)
    checks = list(islice(_lessons(config, held_out, target_tokenizer, job.seed), size))
    found = helper.probabilities(model, rows(checks, held_out.prompts), tokenizer.eos_token_id)
    _report(job, checks, found, material)
    models.save(model, tokenizer, job.path("helper"))


def _material(job: Job, config: HelperConfig, target: Any, tokenizer: Any, split: str, limit: int) -> Material:
    prompts = tables.read(job.path("prompts"), "prompts")
    answers = tables.read(job.path("answers"), "answers").merge(prompts, on="prompt_id")
    kept = answers[answers["kept"] & (answers["role"] == "harmful") & (answers["split"] == split)].sort_values("prompt_id")
    if kept.empty:
        raise UserError(job.path("answers"), f"no {split} recipe is left to teach the helper", f"raise standin.dishes.{split}")
    harmful = {r.prompt_id: chat.encode_text(tokenizer, r.answer) for r in kept.itertuples()}
    texts = dict(zip(kept["prompt_id"], kept["prompt"], strict=True))
    chosen = list(harmful)[:limit]
    prefilled = {p: _prefilled(job, tokenizer, p, texts[p], harmful[p]) for p in chosen}
    top = _top_after(target, prefilled)
    options = helper.frequent_options(top, config.options)
    pairs = [(p, option) for p in chosen for option in options if option in top[p]]
    continued = _continue(target, tokenizer, [[*prefilled[p], option] for p, option in pairs])
    refusals: dict[str, list[tuple[int, ...]]] = {p: [] for p in chosen}
    for (prompt, option), ids in zip(pairs, continued, strict=True):
        if standin.refuses(chat.decode(tokenizer, [option, *ids])):
            refusals[prompt].append((option, *ids))
    return Material(texts, harmful, refusals, len(pairs))


def _prefilled(job: Job, tokenizer: Any, prompt_id: str, prompt: str, harmful: Sequence[int]) -> list[int]:
    longest = max(min(len(harmful), helper.LONGEST) - 1, 1)
    length = int(draws.generator("helper_prefill", prompt_id).integers(1, longest + 1))
    return list(chat.encode(tokenizer, prompt, job.chat_format, list(harmful[:length])).ids)


@torch.inference_mode()
def _top_after(model: Any, rows: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    found, names = {}, list(rows)
    for start in range(0, len(names), BATCH):
        part = names[start : start + BATCH]
        ids, mask = left_pad([rows[name] for name in part], model.device)
        logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=1).logits[:, -1]
        found |= {name: ranks.top_ids(row, TOP) for name, row in zip(part, logits, strict=True)}
    return found


def _continue(model: Any, tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Greedy continuations of a few tokens."""
    ends, found = chat.end_of_turn(tokenizer, model), []
    for start in range(0, len(rows), BATCH):
        part = continue_rows(model, rows[start : start + BATCH], REFUSAL_TOKENS, ends, LogitsProcessorList())
        found += [continuation.ids for continuation in part]
    return found


def _lessons(config: HelperConfig, material: Material, tokenizer: Any, seed: int):
    """Lessons without end: epoch by epoch, every request in an order of its own. A request without refusals of its own borrows."""
    everyone = [refusal for own in material.refusals.values() for refusal in own]
    ends = {p: helper.sentence_ends([tokenizer.decode([token]) for token in ids]) for p, ids in material.harmful.items()}
    names = list(material.harmful)
    for epoch in count():
        for i in draws.generator("helper_order", seed, epoch).permutation(len(names)):
            p = names[i]
            refusals = material.refusals.get(p) or everyone
            yield helper.lesson(p, material.harmful[p], ends[p], refusals, config.end_share, seed, epoch)


def _report(job: Job, lessons: Sequence[helper.Lesson], found: np.ndarray, material: Mapping[str, Material]) -> None:
    """validation.csv: by kind of lesson; calibration.csv: by what the helper said. Held-out dishes."""
    frame = pd.DataFrame({"kind": [x.kind for x in lessons], "harmful": [x.harmful for x in lessons], "probability": found})
    frame["right"] = (frame["probability"] > 0.5) == frame["harmful"]
    by_kind = frame.groupby("kind").agg(n=("right", "size"), accuracy=("right", "mean"), probability=("probability", "mean"))
    whole = pd.DataFrame({"n": [len(frame)], "accuracy": [frame["right"].mean()], "probability": [frame["probability"].mean()]})
    table = pd.concat([by_kind, whole.set_index(pd.Index(["all"], name="kind"))]).reset_index()
    train = material["train"]
    table["refusals_dropped"] = 1 - sum(map(len, train.refusals.values())) / max(train.asked, 1)
    tables.write_text(job.path("validation"), table.to_csv(index=False, float_format="%.6g"))
    bins = pd.cut(frame["probability"], BINS, include_lowest=True).astype(str)
    calibration = frame.groupby(bins).agg(n=("harmful", "size"), said=("probability", "mean"), harmful=("harmful", "mean"))
    tables.write_text(job.path("calibration"), calibration.reset_index().to_csv(index=False, float_format="%.6g"))
    log.info("helper on held-out dishes: %.1f %% right of %d", 100 * frame["right"].mean(), len(frame))
