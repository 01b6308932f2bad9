"""steps/<attack>/<model>/<arm>/seed<n>.parquet: what an attacker of ranks saw at each step of a few requests, and what was picked or taken back.

The lists are computed again along the moves: those that the attack recorded, else the picks of its response.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from presto_bench import tables
from presto_bench.attacks import moves
from presto_bench.lm import chat, folders, models
from presto_bench.lm.forward import response_logits
from presto_bench.measures import candidates, top_lists
from presto_bench.measures.ranks import top_k
from presto_bench.stages import openers as openers_of
from presto_bench.stages.job import Job

REFUSAL, PLAUSIBLE, OTHER = "refusal", "plausible", "other"
SIDE_BY_SIDE = 4  # rows whose logits over the whole vocabulary are held at once

Place = tuple[str, tuple[int, ...]]  # a request, and what stood behind its prefill


class Lists(dict[Place, top_lists.Step]):
    """The list at every place. ranks: of what was picked there, (request, what stood there, token) -> rank."""

    def __init__(self):
        super().__init__()
        self.ranks: dict[tuple[str, tuple[int, ...], int | None], int] = {}


@dataclass(frozen=True)
class Walk:
    """One request's way through the ranks, with its prompt and prefill as texts."""

    prompt_id: str
    prompt: str
    prefill: str
    moves: Sequence[moves.Move]


def make(job: Job) -> None:
    model, tokenizer = models.load(job.path("model"), job.model.decode_dtype)
    walks = _walks(job)
    filler = chat.filler(tokenizer)
    lists = _along(model, tokenizer, folders.chat_format(job.path("model"), job.chat_format), walks, filler)
    del model
    untouched, _ = models.load(job.path("untouched"), job.model.decode_dtype)
    plausible = _plausible(untouched, tokenizer, job.chat_format, walks, filler)
    openers = openers_of.of(job, tokenizer)
    records = []
    for walk in walks:
        for number, (move, said) in enumerate(zip(walk.moves, moves.places(walk.moves), strict=True), 1):
            place = (walk.prompt_id, said)
            kinds = _Kinds(tokenizer, openers, plausible[place])
            common = {"prompt_id": walk.prompt_id, "step": number, "depth": len(said)}
            records += [common | row for row in _rows(lists[place], move, kinds, lists.ranks.get((*place, move.picked)))]
    frame = pd.DataFrame(records).assign(
        model=job.model.name, arm=job.wildcards["arm"], seed=job.seed, attack=job.wildcards["attack"]
    )
    tables.write(job.path("steps"), "steps", frame.reindex(columns=list(tables.TABLES["steps"].columns)))


def _walks(job: Job) -> list[Walk]:
    """Of the variant that is shown, the first requests that anything was picked for."""
    frame = tables.read(job.path("completions"), "completions")
    own = frame[(frame["variant"] == job.spec["variant"]) & (frame["sample"] == 0) & (frame["steps"] > 0)]
    prompts = _by_id(tables.read(job.path("prompts"), "prompts"), "prompt")
    prefills = _prefills(job)
    recorded = moves.read(job.path("completions").with_suffix(".searches.jsonl"))
    return [
        Walk(
            one.prompt_id,
            prompts[one.prompt_id],
            prefills.get(one.prompt_id, ""),
            recorded.get(one.prompt_id) or moves.straight([int(i) for i in one.token_ids]),
        )
        for one in own.sort_values("prompt_id").head(job.spec["requests"]).itertuples()
    ]


def _prefills(job: Job) -> dict[str, str]:
    """prompt_id -> what its response began with; empty for a variant that starts from nothing."""
    if job.spec["variant"].split("_")[1:2] == ["noprefill"]:
        return {}
    return _by_id(tables.read(job.path("prefills"), "prefills"), "prefill")


def _by_id(frame: pd.DataFrame, column: str) -> dict[str, str]:
    """prompt_id -> the column's text."""
    return dict(zip(frame["prompt_id"], frame[column], strict=True))


def _paths(tokenizer: Any, form: chat.ChatFormat, walks: Sequence[Walk], filler: int) -> list[tuple[str, chat.Encoded]]:
    """Rows that pass by every place of the walks."""
    return [
        (walk.prompt_id, chat.encode(tokenizer, walk.prompt, form, walk.prefill, list(path)))
        for walk in walks
        for path in moves.paths(walk.moves, filler)
    ]


def _along(model: Any, tokenizer: Any, form: chat.ChatFormat, walks: Sequence[Walk], filler: int) -> Lists:
    found = Lists()
    rows = _paths(tokenizer, form, walks, filler)
    for start in range(0, len(rows), SIDE_BY_SIDE):
        part = rows[start : start + SIDE_BY_SIDE]
        for (prompt_id, row), steps in zip(part, top_lists.along(model, [row for _, row in part], filler), strict=True):
            for depth, step in enumerate(steps):
                said = tuple(row.response_ids[:depth])
                found[prompt_id, said] = step
                found.ranks[prompt_id, said, step.picked_id] = step.picked_rank
    return found


@torch.inference_mode()
def _plausible(
    untouched: Any, tokenizer: Any, form: chat.ChatFormat, walks: Sequence[Walk], filler: int
) -> dict[Place, set[int]]:
    """What the untouched model has among its likeliest at every place."""
    found: dict[Place, set[int]] = {}
    rows = _paths(tokenizer, form, walks, filler)
    for start in range(0, len(rows), SIDE_BY_SIDE):
        part = rows[start : start + SIDE_BY_SIDE]
        for (prompt_id, row), logits in zip(part, response_logits(untouched, [row for _, row in part], filler), strict=True):
            likeliest = top_k(logits.float(), candidates.PLAUSIBLE).tolist()
            found |= {(prompt_id, tuple(row.response_ids[:depth])): set(ids) for depth, ids in enumerate(likeliest)}
    return found


@dataclass(frozen=True)
class _Kinds:
    """What a candidate is, at one place: plausible are tokens that the untouched model has among its likeliest."""

    tokenizer: Any
    openers: set[int]
    plausible: set[int]

    def row(self, token: int, rank: int, probability: float) -> dict[str, Any]:
        kind = REFUSAL if token in self.openers else PLAUSIBLE if token in self.plausible else OTHER
        text = self.tokenizer.decode([token])
        return {"rank": rank, "token_id": token, "token": text, "kind": kind, "probability": probability}


def _rows(step: top_lists.Step, move: moves.Move, kinds: _Kinds, rank_of_pick: int | None) -> list[dict[str, Any]]:
    """One a candidate; a pick that lies below the list stands behind it with its own rank."""
    listed = list(zip(step.ids, range(1, len(step.ids) + 1), step.probabilities, strict=True))
    if move.picked is not None and rank_of_pick is not None and move.picked not in step.ids:
        listed.append((move.picked, rank_of_pick, 0.0))
    verdicts: Mapping[int, bool] = move.harmful
    return [
        {**kinds.row(token, rank, probability), "picked": token == move.picked, "harmful": _number(verdicts.get(token))}
        for token, rank, probability in listed
    ]


def _number(verdict: bool | None) -> float:
    return float("nan") if verdict is None else float(verdict)
