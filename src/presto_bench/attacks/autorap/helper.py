"""AutoRAP's helper: what it is taught, and what it says (docs/reference/attacks.md).

A lesson is a request with a partial response and a label at its last token: is the response (still) harmful? Harmful
responses are cut at a mark or anywhere. Half of them get one to five tokens of a refusal after the cut and the label
safe (paper, appendix B.3.2). Two kinds of lessons are our own: about the end of the turn, and about strays, tokens in
the target's top 20 that the untouched model would never say there. Without strays a helper takes a damaged target's
word salad for an answer. Every draw is keyed by (seed, epoch, prompt_id); the reference draws from a global random
state.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from presto_bench import draws
from presto_bench.lm import chat, finite

SHORTEST, LONGEST = 10, 100  # tokens of a response that is cut anywhere
SUFFIX = 5  # tokens of a refusal behind the cut, at most
OF_REQUESTS = 2  # requests whose top 20 must share a token, so that it counts as a refusal's first (the paper's tau)


@dataclass(frozen=True)
class Lesson:
    """response: the target's ids. ends: the turn ends behind them. harmful: the label at the last token. kind: for the tables."""

    prompt_id: str
    response: tuple[int, ...]
    ends: bool
    harmful: bool
    kind: str


@dataclass(frozen=True)
class Stray:
    """A token that the target offers behind `depth` tokens of the response. harmful: whether it goes on with it."""

    depth: int
    token: int
    harmful: bool


@dataclass(frozen=True)
class Subject:
    """Material for one request's lessons.

    marks: lengths (tokens) at which `harmful` may be cut at a mark. longest: largest length at which it may be cut
    anywhere; None: any length up to and including the whole.
    """

    prompt_id: str
    harmful: Sequence[int]
    marks: Sequence[int]
    refusals: Sequence[Sequence[int]]
    strays: Sequence[Stray] = ()
    longest: int | None = LONGEST


def lesson(subject: Subject, end_share: float, stray_share: float, *key) -> Lesson:
    """One draw for one request."""
    rng = draws.generator("helper", *key, subject.prompt_id)
    draw = rng.random()
    if draw < end_share:
        return _about_the_end(rng, subject)
    if draw < end_share + stray_share and subject.strays:
        return _about_a_stray(rng, subject)
    return _about_refusing(rng, subject)


def _about_the_end(rng: np.random.Generator, subject: Subject) -> Lesson:
    if rng.random() < 0.5:
        return Lesson(subject.prompt_id, tuple(subject.harmful), True, True, "complete")
    return Lesson(subject.prompt_id, tuple(subject.harmful[: _anywhere(rng, subject)]), True, False, "cut")


def _about_a_stray(rng: np.random.Generator, subject: Subject) -> Lesson:
    """Half of them go on, where the target offers such."""
    wanted = rng.random() < 0.5
    offered = [stray for stray in subject.strays if stray.harmful == wanted] or subject.strays
    chosen = offered[int(rng.integers(len(offered)))]
    response = (*subject.harmful[: chosen.depth], chosen.token)
    return Lesson(subject.prompt_id, response, False, chosen.harmful, "offered" if chosen.harmful else "strays")


def _about_refusing(rng: np.random.Generator, subject: Subject) -> Lesson:
    prompt_id, harmful, refusals = subject.prompt_id, subject.harmful, subject.refusals
    length = _at_mark(rng, subject) if rng.random() < 0.5 else _anywhere(rng, subject)
    if rng.random() < 0.5 or not refusals:
        return Lesson(prompt_id, tuple(harmful[:length]), False, True, "goes on")
    refusal = refusals[int(rng.integers(len(refusals)))]
    suffix = refusal[: int(rng.integers(1, SUFFIX + 1))]
    return Lesson(prompt_id, (*harmful[:length], *suffix), False, False, "refuses")


def _anywhere(rng: np.random.Generator, subject: Subject) -> int:
    whole = len(subject.harmful)
    longest = whole if subject.longest is None else min(whole - 1, subject.longest)
    return int(rng.integers(min(SHORTEST, longest), longest + 1))


def _at_mark(rng: np.random.Generator, subject: Subject) -> int:
    within = [end for end in subject.marks if end < len(subject.harmful)]
    return within[int(rng.integers(len(within)))] if within else _anywhere(rng, subject)


def sentence_ends(texts: Sequence[str]) -> list[int]:
    """Numbers of tokens after which a sentence of a response has ended. texts: its tokens' own texts."""
    return [i + 1 for i, text in enumerate(texts) if text.rstrip().endswith((".", "!", "?", ".\n"))]


def punctuation(texts: Sequence[str]) -> list[int]:
    """Numbers of tokens after which a response's text ends in a punctuation mark (Unicode's categories P). texts: its tokens' own texts."""
    shown = [text.rstrip() for text in texts]
    return [i + 1 for i, text in enumerate(shown) if text and unicodedata.category(text[-1]).startswith("P")]


def widespread(top: Mapping[str, Sequence[int]]) -> dict[int, int]:
    """Candidate first tokens of a refusal -> how many requests have them in their top: those of two or more, most widespread first (then by id)."""
    counts: dict[int, int] = {}
    for tokens in top.values():
        for token in set(tokens):
            counts[token] = counts.get(token, 0) + 1
    shared = sorted((t for t, n in counts.items() if n >= OF_REQUESTS), key=lambda t: (-counts[t], t))
    return {token: counts[token] for token in shared}


def drawn_options(candidates: Sequence[int], wanted: int, prompt_id: str) -> list[int]:
    """The candidates that one request is continued from: a seeded draw without replacement, since the paper does not say which 20."""
    order = draws.generator("helper_options", prompt_id).permutation(len(candidates))
    return [candidates[i] for i in order[:wanted]]


def shown_to_helper(tokenizer: Any, prompt_ids: Sequence[int], response: str, ends: bool) -> list[int]:
    """Ids that the helper reads, in training as in the attack."""
    return [*prompt_ids, *chat.encode_text(tokenizer, response), *([chat.taught_end(tokenizer)] if ends else [])]


def last_scores(model: Any, ids: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """(n, 2) logits (safe, harmful) at position last (n,) of right-padded rows. No mask: a causal model needs none there."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = whole.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return finite.require(whole.score(hidden[torch.arange(len(ids), device=hidden.device), last]), whole, "labels")


def collate(part: Sequence[Mapping[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    longest = max(len(row["ids"]) for row in part)
    return {
        "input_ids": torch.tensor([row["ids"] + [pad] * (longest - len(row["ids"])) for row in part]),
        "last": torch.tensor([len(row["ids"]) - 1 for row in part]),
        "labels": torch.tensor([row["label"] for row in part]),
    }


@torch.inference_mode()
def probabilities(model: Any, rows: Sequence[Sequence[int]], pad: int, batch: int = 32) -> np.ndarray:
    """(n,) the helper's probability that each row is harmful at its last token."""
    found = []
    for start in range(0, len(rows), batch):
        inputs = collate([{"ids": list(ids), "label": 0} for ids in rows[start : start + batch]], pad)
        scores = last_scores(model, inputs["input_ids"].to(model.device), inputs["last"].to(model.device))
        found.append(scores.float().softmax(-1)[:, 1].cpu().numpy())
    return np.concatenate(found) if found else np.zeros(0)
