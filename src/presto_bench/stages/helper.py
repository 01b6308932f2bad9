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

from presto_bench import draws, tables
from presto_bench.attacks.autorap import helper, helper_training
from presto_bench.attacks.autorap.helper import shown_to_helper
from presto_bench.config.helper import HelperConfig
from presto_bench.judges import refusal
from presto_bench.lm import chat, folders, models
from presto_bench.measures import candidates
from presto_bench.policies.known import recipes
from presto_bench.stages.job import Job

log = logging.getLogger("presto_bench")

VALIDATION_ROUNDS = 3
BINS = np.linspace(0, 1, 6)


@dataclass(frozen=True)
class Material:
    """By prompt_id: text; the target's ids of a whole response; the target's own refusals; its strays. asked: continuations."""

    prompts: Mapping[str, str]
    harmful: Mapping[str, Sequence[int]]
    refusals: Mapping[str, list[tuple[int, ...]]]
    strays: Mapping[str, list[helper.Stray]]
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
    model, tokenizer = models.load_helper(job.path("untouched"), job.model.dtype, new_head=True)

    def rows(lessons: Sequence[helper.Lesson], prompts: Mapping[str, str]) -> list[list[int]]:
        asked = {p: chat.encode_prompt(tokenizer, text, job.chat_format) for p, text in prompts.items()}
        texts = [chat.decode(target_tokenizer, list(lesson.response)) for lesson in lessons]
        pairs = zip(lessons, texts, strict=True)
        return [shown_to_helper(tokenizer, asked[lesson.prompt_id], text, lesson.ends) for lesson, text in pairs]

    lessons = list(islice(_lessons(config, material["train"], target_tokenizer, job.seed), config.steps * config.batch_size))
    harmful = [lesson.harmful for lesson in lessons]
    model = helper_training.train(
        model, rows(lessons, material["train"].prompts), harmful, config, job.seed, chat.filler(tokenizer)
    )
    held_out = material["dev"]
    size = VALIDATION_ROUNDS * len(held_out.harmful)
    checks = list(islice(_lessons(config, held_out, target_tokenizer, job.seed), size))
    found = helper.probabilities(model, rows(checks, held_out.prompts), chat.filler(tokenizer))
    _report(job, checks, found, material)
    models.save(model, tokenizer, job.path("helper"))


def _material(job: Job, config: HelperConfig, target: Any, tokenizer: Any, split: str, limit: int) -> Material:
    texts, harmful = recipes(job.path("prompts"), job.path("answers"), tokenizer, split)
    chosen = {p: harmful[p] for p in list(harmful)[:limit]}
    theirs = folders.chat_format(job.path("target"), job.chat_format)
    found = candidates.places(tokenizer, theirs, texts, chosen, config.cuts, "helper_prefill")
    plain = candidates.places(tokenizer, job.chat_format, texts, chosen, config.cuts, "helper_prefill")
    tops = candidates.top(target, [place.ids for place in found], candidates.TOP)
    first = {place.prompt_id: i for i, place in reversed(list(enumerate(found)))}  # the shallowest of each request
    options = helper.frequent_options({p: tops[i] for p, i in first.items()}, config.options)
    offered = {p: [option for option in options if option in tops[i]] for p, i in first.items()}
    asked = {p: own for p, own in offered.items() if own}
    continued = candidates.continuations(target, tokenizer, [found[first[p]].ids for p in asked], list(asked.values()))
    refusals: dict[str, list[tuple[int, ...]]] = {p: [] for p in chosen}
    for p, said in zip(asked, continued, strict=True):
        refusals[p] = [ids for ids in said if refusal.teller(job.spec["policy"])(chat.decode(tokenizer, list(ids)))]
    return Material(texts, harmful, refusals, _strays(job, plain, tops, refusals), sum(map(len, asked.values())))


def _strays(
    job: Job, found: Sequence[candidates.Place], tops: Sequence[Sequence[int]], refusals: Mapping[str, Sequence[Sequence[int]]]
) -> dict[str, list[helper.Stray]]:
    """By request: what the target offers and the untouched model would hardly say there, and what both would say.

    A token in between, or one that a refusal of the target's begins with, teaches nothing.
    """
    untouched, _ = models.load(job.path("untouched"), job.model.decode_dtype)
    likely = candidates.top(untouched, [place.ids for place in found], candidates.PLAUSIBLE)
    openers = {refusal[0] for own in refusals.values() for refusal in own}
    strays: dict[str, list[helper.Stray]] = {}
    for place, offered, known in zip(found, tops, likely, strict=True):
        best = set(known[: candidates.TOP])
        strays.setdefault(place.prompt_id, []).extend(
            helper.Stray(place.depth, token, token in best)
            for token in offered
            if token not in openers and (token in best or token not in known)
        )
    return strays


def _lessons(config: HelperConfig, material: Material, tokenizer: Any, seed: int):
    """Lessons without end: epoch by epoch, every request in an order of its own. A request without refusals of its own borrows."""
    everyone = [refusal for own in material.refusals.values() for refusal in own]
    subjects = [
        helper.Subject(
            p,
            ids,
            helper.sentence_ends([tokenizer.decode([token]) for token in ids]),
            material.refusals.get(p) or everyone,
            material.strays.get(p, ()),
        )
        for p, ids in material.harmful.items()
    ]
    for epoch in count():
        for i in draws.generator("helper_order", seed, epoch).permutation(len(subjects)):
            yield helper.lesson(subjects[i], config.end_share, config.stray_share, seed, epoch)


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
