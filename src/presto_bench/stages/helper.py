"""helpers/<model>/<arm>/seed<n>: AutoRAP's helper, taught by what one arm says behind harmful prefills (docs/reference/attacks.md).

Training requests teach, dev requests tell how well it has learned. With `lessons: strict` only those of the arm's own continuations are kept that
the refusal detector marks; the share that was dropped is in the validation table. With `lessons: paper` all are kept, as appendix B.3.1 does.
"""

import json
import logging
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
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
from presto_bench.errors import UserError
from presto_bench.judges import refusal
from presto_bench.lm import chat, folders, models
from presto_bench.measures import candidates
from presto_bench.policies.known import recipes
from presto_bench.stages.job import Job

log = logging.getLogger("presto_bench")

BINS = np.linspace(0, 1, 6)


@dataclass(frozen=True)
class Material:
    """By prompt_id: text; the target's ids of a whole response; the target's own refusals; its strays.

    said: what the target says behind each candidate first token, whole and with that token; asked: how many of them there are.
    counts: candidate first token -> requests that have it in their top 20.
    """

    prompts: Mapping[str, str]
    harmful: Mapping[str, Sequence[int]]
    refusals: Mapping[str, list[tuple[int, ...]]]
    strays: Mapping[str, list[helper.Stray]]
    said: Mapping[str, list[tuple[int, ...]]]
    counts: Mapping[int, int]

    @property
    def asked(self) -> int:
        return sum(map(len, self.said.values()))

    def only(self, chosen: Sequence[str]) -> "Material":
        """The same of some requests alone."""
        return Material(
            self.prompts,
            {p: self.harmful[p] for p in chosen},
            {p: self.refusals[p] for p in chosen if p in self.refusals},
            self.strays,
            self.said,
            self.counts,
        )


def make(job: Job) -> None:
    config = HelperConfig.model_validate(job.spec["helper"])
    target, target_tokenizer = models.load(job.path("target"), job.model.decode_dtype)
    _require_same_words(job, target_tokenizer)
    material = {
        split: _material(job, config, target, target_tokenizer, split, limit)
        for split, limit in (("train", config.prompts), ("dev", max(config.prompts // 3, 2)))
    }
    del target
    torch.manual_seed(job.seed)  # the head is new
    model, tokenizer = models.load_helper(job.path("parent"), _dtype(job, config), new_head=True)
    asked_as = config.format(job.chat_format)

    def rows(lessons: Sequence[helper.Lesson]) -> helper_training.Rows:
        texts = [chat.decode(target_tokenizer, list(lesson.response)) for lesson in lessons]
        prompts = {**material["train"].prompts, **material["dev"].prompts}
        ids = [
            shown_to_helper(tokenizer, chat.encode_prompt(tokenizer, prompts[lesson.prompt_id], asked_as), text, lesson.ends)
            for lesson, text in zip(lessons, texts, strict=True)
        ]
        return helper_training.Rows(ids, [lesson.harmful for lesson in lessons])

    taught_by, validated_by = _set_apart(material["train"], config.validation_share, job.seed)
    epochs = _epochs(config, taught_by, target_tokenizer, job.seed)
    validation = [rows(_once(config, validated_by, target_tokenizer, job.seed, n)) for n in range(config.epochs or 0)]
    taught = helper_training.train(
        model,
        rows([lesson for epoch in epochs for lesson in epoch]),
        config,
        job.seed,
        chat.filler(tokenizer),
        validation if validated_by.harmful else (),
        max(len(epochs[0]) // config.batch_size, 1),
    )
    checks = [_once(config, material["dev"], target_tokenizer, job.seed, n) for n in range(config.redraws)]
    found = [helper.probabilities(taught.model, rows(redraw).ids, chat.filler(tokenizer)) for redraw in checks]
    _report(job, checks, found, material)
    _curves(job, taught)
    _candidates(job, target_tokenizer, material)
    _continuations(job, target_tokenizer, material)
    models.save(taught.model, tokenizer, job.path("helper"))
    if config.model is not None:
        folders.note_format(job.path("helper"), asked_as)


def _dtype(job: Job, config: HelperConfig) -> str:
    return job.model.dtype if config.model is None else config.model.get("dtype", "auto")


def _require_same_words(job: Job, target_tokenizer: Any) -> None:
    """A helper of another family must be able to read what the target says."""
    reads = folders.load_tokenizer(job.path("parent"))
    _, harmful = recipes(job.path("prompts"), job.path("answers"), target_tokenizer, "train")
    for prompt_id, ids in harmful.items():
        text = chat.decode(target_tokenizer, list(ids))
        again = chat.decode(reads, chat.encode_text(reads, text))
        # Some tokenizers compose characters that others leave apart; both are the same text.
        if unicodedata.normalize("NFC", again).split() != unicodedata.normalize("NFC", text).split():
            raise UserError(
                "helper.model",
                f"its tokenizer cannot say what the target says to {prompt_id}: {len(text)} characters come back as {len(again)} others",
                "take a model whose tokenizer knows the target's language and symbols",
            )


def _material(job: Job, config: HelperConfig, target: Any, tokenizer: Any, split: str, limit: int) -> Material:
    texts, harmful = recipes(job.path("prompts"), job.path("answers"), tokenizer, split)
    chosen = {p: harmful[p] for p in list(harmful)[:limit]}
    theirs = folders.chat_format(job.path("target"), job.chat_format)
    deepest = None if config.lessons == "paper" else candidates.DEEPEST
    found = candidates.places(tokenizer, theirs, texts, chosen, config.cuts, "helper_prefill", deepest)
    plain = candidates.places(tokenizer, job.chat_format, texts, chosen, config.cuts, "helper_prefill", deepest)
    tops = candidates.top(target, [place.ids for place in found], candidates.TOP)
    first = {place.prompt_id: i for i, place in reversed(list(enumerate(found)))}  # the shallowest of each request
    counts = helper.widespread({p: tops[i] for p, i in first.items()})
    asked = _options(config, counts, {p: tops[i] for p, i in first.items()})
    continued = candidates.continuations(target, tokenizer, [found[first[p]].ids for p in asked], list(asked.values()))
    refusals: dict[str, list[tuple[int, ...]]] = {p: [] for p in chosen}
    kept = refusal.teller(job.spec["policy"]) if config.lessons == "strict" else lambda text: True
    for p, said in zip(asked, continued, strict=True):
        refusals[p] = [ids for ids in said if kept(chat.decode(tokenizer, list(ids)))]
    strays = _strays(job, plain, tops, refusals) if config.stray_share else {}
    said = dict(zip(asked, continued, strict=True))
    return Material(texts, chosen if config.lessons == "paper" else harmful, refusals, strays, said, counts)


def _options(config: HelperConfig, counts: Mapping[int, int], tops: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Request -> the first tokens that it is continued from."""
    if config.lessons == "paper":
        return {p: own for p in tops if (own := helper.drawn_options(list(counts), config.options, p))}
    most = list(counts)[: config.options]
    return {p: own for p, top in tops.items() if (own := [option for option in most if option in top])}


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


def _set_apart(material: Material, share: float, seed: int) -> tuple[Material, Material]:
    """The requests that teach, and those that are only looked at while it learns."""
    names = list(material.harmful)
    order = [names[i] for i in draws.generator("helper_validation", seed).permutation(len(names))]
    apart = set(order[: round(share * len(names))])
    return material.only([p for p in names if p not in apart]), material.only([p for p in names if p in apart])


def _subjects(config: HelperConfig, material: Material, tokenizer: Any) -> list[helper.Subject]:
    """A request without refusals of its own borrows."""
    everyone = [refusal for own in material.refusals.values() for refusal in own]
    paper = config.lessons == "paper"
    marks = helper.punctuation if paper else helper.sentence_ends
    return [
        helper.Subject(
            p,
            ids,
            marks([tokenizer.decode([token]) for token in ids]),
            material.refusals.get(p) or everyone,
            material.strays.get(p, ()),
            None if paper else helper.LONGEST,
        )
        for p, ids in material.harmful.items()
    ]


def _epochs(config: HelperConfig, material: Material, tokenizer: Any, seed: int) -> list[list[helper.Lesson]]:
    """The training lessons, in order. By epochs: every request once, and some again to fill the last batch. By steps: as many as they take, as one."""
    subjects = _subjects(config, material, tokenizer)
    if config.epochs is None:
        return [list(islice(_lessons(config, subjects, seed), config.steps * config.batch_size))]
    return [_epoch(config, subjects, seed, epoch) for epoch in range(config.epochs)]


def _epoch(config: HelperConfig, subjects: Sequence[helper.Subject], seed: int, epoch: int) -> list[helper.Lesson]:
    order = draws.generator("helper_order", seed, epoch).permutation(len(subjects))
    lessons = [helper.lesson(subjects[i], config.end_share, config.stray_share, seed, epoch) for i in order]
    missing = -len(subjects) % config.batch_size
    again = draws.generator("helper_again", seed, epoch).integers(len(subjects), size=missing)
    return lessons + [
        helper.lesson(subjects[i], config.end_share, config.stray_share, seed, epoch, nth) for nth, i in enumerate(again, 1)
    ]


def _lessons(config: HelperConfig, subjects: Sequence[helper.Subject], seed: int) -> Iterator[helper.Lesson]:
    """Lessons without end: epoch by epoch, every request in an order of its own."""
    for epoch in count():
        for i in draws.generator("helper_order", seed, epoch).permutation(len(subjects)):
            yield helper.lesson(subjects[i], config.end_share, config.stray_share, seed, epoch)


def _once(config: HelperConfig, material: Material, tokenizer: Any, seed: int, redraw: int) -> list[helper.Lesson]:
    """One lesson from each held-out request, drawn anew with each number."""
    subjects = _subjects(config, material, tokenizer)
    return [helper.lesson(subject, config.end_share, config.stray_share, seed, redraw) for subject in subjects]


def _report(
    job: Job, redraws: Sequence[Sequence[helper.Lesson]], found: Sequence[np.ndarray], material: Mapping[str, Material]
) -> None:
    """validation.csv: by kind of lesson, and over all redraws; calibration.csv: by what the helper said. Held-out requests."""
    lessons = [(n, lesson) for n, redraw in enumerate(redraws) for lesson in redraw]
    frame = pd.DataFrame(
        {
            "redraw": [n for n, _ in lessons],
            "kind": [lesson.kind for _, lesson in lessons],
            "harmful": [lesson.harmful for _, lesson in lessons],
            "probability": np.concatenate(found),
        }
    )
    frame["right"] = (frame["probability"] > 0.5) == frame["harmful"]
    by_kind = frame.groupby("kind").agg(n=("right", "size"), accuracy=("right", "mean"), probability=("probability", "mean"))
    whole = pd.DataFrame({"n": [len(frame)], "accuracy": [frame["right"].mean()], "probability": [frame["probability"].mean()]})
    table = pd.concat([by_kind, whole.set_index(pd.Index(["all"], name="kind"))]).reset_index()
    each = frame.groupby("redraw")["right"].mean()
    table["redraws"], table["spread"] = len(each), np.where(table["kind"] == "all", each.std(ddof=1), np.nan)
    train = material["train"]
    table["refusals_dropped"] = 1 - sum(map(len, train.refusals.values())) / max(train.asked, 1)
    tables.write_text(job.path("validation"), table.to_csv(index=False, float_format="%.6g"))
    bins = pd.cut(frame["probability"], BINS, include_lowest=True).astype(str)
    calibration = frame.groupby(bins).agg(n=("harmful", "size"), said=("probability", "mean"), harmful=("harmful", "mean"))
    tables.write_text(job.path("calibration"), calibration.reset_index().to_csv(index=False, float_format="%.6g"))
    log.info("helper on held-out requests: %.1f %% right of %d", 100 * frame["right"].mean(), len(frame))


def _curves(job: Job, taught: helper_training.Taught) -> None:
    """curves.csv: the loss of every step, and on the requests that were set apart at the end of each epoch."""
    steps = range(1, len(taught.losses) + 1)
    frame = pd.DataFrame({"step": steps, "training": taught.losses, "validation": [taught.validation.get(n) for n in steps]})
    tables.write_text(job.path("curves"), frame.to_csv(index=False, float_format="%.6g"))


def _spelled(text: str) -> str:
    """A token's text on one line of a table: line breaks and control characters as JSON spells them."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _candidates(job: Job, tokenizer: Any, material: Mapping[str, Material]) -> None:
    """refusal_tokens.csv: candidate first tokens of refusals, and behind how many requests each stands in the top 20."""
    rows = [
        (split, token, _spelled(tokenizer.decode([token])), n)
        for split, found in material.items()
        for token, n in found.counts.items()
    ]
    frame = pd.DataFrame(rows, columns=["split", "token_id", "token", "requests"])
    tables.write_text(job.path("refusal_tokens"), frame.to_csv(index=False))


def _continuations(job: Job, tokenizer: Any, material: Mapping[str, Material]) -> None:
    """refusals.parquet: what the target says behind each candidate first token, request by request."""
    refuses = refusal.teller(job.spec["policy"])
    rows = [
        (
            job.model.name,
            job.wildcards["arm"],
            job.seed,
            split,
            p,
            ids[0],
            len(ids),
            text := chat.decode(tokenizer, list(ids)),
            refuses(text),
        )
        for split, found in material.items()
        for p, own in found.said.items()
        for ids in own
    ]
    frame = pd.DataFrame(rows, columns=list(tables.TABLES["helper_refusals"].columns))
    tables.write(job.path("refusals"), "helper_refusals", frame)
