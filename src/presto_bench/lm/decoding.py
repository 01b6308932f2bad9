"""Batched decoding: one loop for every way of picking the next token.

A pick sees the logits of all rows that still run; the loop reads what was picked, and rows that have ended leave the batch. Sampling is by inverse CDF over the
kept tokens: an exact draw, from one uniform number a row and step. Each row's numbers are its own, so a completion does not depend on what else is in its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from presto_bench import progress
from presto_bench.config.models import SamplingConfig
from presto_bench.lm import finite, reading

SEEDS = 2**31  # of a served model: what a signed 32-bit integer holds


@dataclass(frozen=True)
class Continuation:
    """New token ids, the end-of-turn token not included; finish is `eos` or `length`."""

    ids: tuple[int, ...]
    finish: str


class Pick(Protocol):
    """Chooses the next token of every running row."""

    def __call__(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Token ids (b,), from logits (b, V) and what each row has read (b, T); shorter rows repeat their first token behind their end."""
        ...

    def leave(self, order: Sequence[int]) -> None:
        """Rows have ended: those at these positions go on, in this order."""
        ...


class Greedy:
    """The most likely token."""

    sampling = SamplingConfig(temperature=0)

    def __call__(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return logits.argmax(-1)

    def leave(self, order: Sequence[int]) -> None:
        """Nothing here belongs to a row."""


class Sampled:
    """Draws as the model's family recommends: transformers' warpers in transformers' order. Temperature 0 is greedy: no draw.

    generators: one a row. steps: how many tokens are drawn at most.
    """

    def __init__(self, sampling: SamplingConfig, generators: Sequence[np.random.Generator], steps: int, device: Any):
        self.sampling = sampling
        self.penalty = _penalty(sampling.repetition_penalty)
        self.warpers = _warpers(sampling)
        self.step = 0
        drawn = np.stack([rng.random(steps) for rng in generators]) if sampling.temperature else np.zeros((len(generators), 0))
        self.uniform = torch.tensor(drawn, dtype=torch.float64, device=device)

    def __call__(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        logits = self.penalty(ids, logits)
        if self.sampling.temperature == 0:
            return logits.argmax(-1)
        kept, tokens = _best(logits, self.sampling.top_k)
        cumulative = self.warpers(ids, kept).double().softmax(-1).cumsum(-1)
        uniform = self.uniform[:, self.step, None] * cumulative[:, -1:]
        place = torch.searchsorted(cumulative, uniform, right=True).clamp(max=kept.shape[-1] - 1)
        self.step += 1
        return place[:, 0] if tokens is None else tokens.gather(-1, place)[:, 0]

    def leave(self, order: Sequence[int]) -> None:
        self.uniform = self.uniform[reading.sent(order, self.uniform.device)]


def _penalty(strength: float) -> LogitsProcessorList:
    return LogitsProcessorList([] if strength == 1.0 else [RepetitionPenaltyLogitsProcessor(strength)])


def _warpers(sampling: SamplingConfig) -> LogitsProcessorList:
    """What follows the penalty and the cut to the top k; none of it needs to know which token a logit belongs to."""
    chain = LogitsProcessorList()
    if sampling.temperature:
        chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p > 0:
        chain.append(MinPLogitsWarper(sampling.min_p))
    return chain


def _best(logits: torch.Tensor, top_k: int | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(logits, tokens) of the k best, both (b, k), by token id; (all logits, None) without a k."""
    if not top_k:
        return logits, None
    tokens = logits.topk(min(top_k, logits.shape[-1])).indices.sort(-1).values
    return logits.gather(-1, tokens), tokens


@dataclass
class _Rows:
    """What is known of each row, running or ended. running: rows by their place in the batch."""

    ends: frozenset[int]
    running: list[int]
    said: list[list[int]] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)

    def note(self, tokens: Sequence[int]) -> list[int]:
        """Take in one token a running row; the places of those that go on."""
        for row, token in zip(self.running, tokens, strict=True):
            if token in self.ends:
                self.ended.add(row)
            else:
                self.said[row].append(token)
        return [place for place, row in enumerate(self.running) if row not in self.ended]

    def continuations(self) -> list[Continuation]:
        return [Continuation(tuple(ids), "eos" if row in self.ended else "length") for row, ids in enumerate(self.said)]


@torch.inference_mode()
def continue_rows(
    model: Any, rows: Sequence[Sequence[int]], max_new_tokens: int, end_ids: Sequence[int], pick: Pick | None = None
) -> list[Continuation]:
    """Continue each row of ids with the tokens that `pick` chooses; without `pick`, greedily.

    Most models allocate the cache of all rows at full length at once. A served model decodes greedy and sampled
    continuations itself; other picks go token by token.
    """
    if hasattr(model, "continued") and isinstance(pick, Greedy | Sampled | None):
        return _said(model, rows, max_new_tokens, end_ids, pick or Greedy())
    return _continue(reading.reader(model, rows, max_new_tokens), rows, max_new_tokens, end_ids, pick or Greedy())


@torch.inference_mode()
def continue_options(
    model: Any, rows: Sequence[Sequence[int]], options: Sequence[Sequence[int]], max_new_tokens: int, end_ids: Sequence[int]
) -> list[list[Continuation]]:
    """Continue each row greedily from each of its options (one token each); a row's own tokens are read once."""
    branches = [(i, option) for i, own in enumerate(options) for option in own]
    if hasattr(model, "continued"):
        found = iter(_said(model, [[*rows[i], option] for i, option in branches], max_new_tokens, end_ids, Greedy()))
        return [[next(found) for _ in own] for own in options]
    read = reading.reader(model, rows, max_new_tokens + 1)
    read.take([i for i, _ in branches])
    read.read(torch.tensor([option for _, option in branches], device=model.device))
    begun = [[*rows[i], option] for i, option in branches]
    found = iter(_continue(read, begun, max_new_tokens, end_ids, Greedy()))
    return [[next(found) for _ in own] for own in options]


def _said(
    model: Any, rows: Sequence[Sequence[int]], steps: int, end_ids: Sequence[int], pick: Greedy | Sampled
) -> list[Continuation]:
    """Continuations that a served model draws. Seeds: from the first number that each row would have been drawn with here."""
    drawn = pick.uniform[:, 0].tolist() if isinstance(pick, Sampled) and pick.uniform.shape[1] else [0.0] * len(rows)
    found = model.continued(rows, steps, end_ids, pick.sampling, [int(number * SEEDS) for number in drawn])
    return [Continuation(one.ids, "eos" if one.ended else "length") for one in found]


def _continue(
    read: reading.Reader | reading.WholeReader, rows: Sequence[Sequence[int]], steps: int, end_ids: Sequence[int], pick: Pick
) -> list[Continuation]:
    """The loop. Of each step the host waits for one thing: which tokens were picked."""
    known = _Rows(frozenset(end_ids), list(range(len(rows))), [[] for _ in rows])
    ids, longest = _with_room(rows, steps, read.model.device)
    for step in range(steps):
        progress.tell(step + 1, steps, "tokens")
        tokens = finite.marked(pick(read.logits, ids[:, : longest + step]), read.logits)
        picked = tokens.tolist()
        if finite.MARK in picked:
            raise _not_finite(
                read, pick, [row for row, token in zip(known.running, picked, strict=True) if token == finite.MARK]
            )
        staying = known.note(picked)
        if not staying or step == steps - 1:
            break
        ids[:, longest + step] = tokens
        if len(staying) < len(known.running):
            order = reading.closed_up(len(known.running), staying)
            read.leave(order)
            pick.leave(order)
            index = reading.sent(order, ids.device)
            ids, tokens, known.running = ids[index], tokens[index], [known.running[place] for place in order]
        read.read(tokens)
    return known.continuations()


def _not_finite(read: reading.Reader | reading.WholeReader, pick: Pick, rows: list[int]) -> finite.NotFinite:
    """Of the model that is read, or of another that the pick itself reads."""
    own = not bool(read.logits.amax(-1).isfinite().all())
    return finite.NotFinite(read.model if own else getattr(pick, "parent", read.model), rows)


def _with_room(rows: Sequence[Sequence[int]], steps: int, device: Any) -> tuple[torch.Tensor, int]:
    """(ids (b, T + steps), T): shorter rows and what is not said yet repeat the row's first token, which a repetition penalty has seen anyway."""
    longest = max(map(len, rows))
    padded = [[*row, *[row[0]] * (longest + steps - len(row))] for row in rows]
    return torch.tensor(padded, device=device), longest
