"""The RAP oracle: exhaustive search for what any picker could reach among the target's k best tokens.

It needs a list of accepted texts. A picker walks a tree: at each position the target offers its k best tokens. A
response counts once it begins with an accepted text. The search expands, cheapest first, every walk that can still
become accepted. It ends with the fewest picks below rank 1, or with a proof that no accepted walk exists. So it bounds
guided RAP, strict AutoRAP and any other picker that takes no special tokens. It compares texts, not token lists: each
tokenisation of a text is a separate walk.
"""

import heapq
import math
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from functools import partial

from presto_bench.attacks.autorap.attack import Ranker, drive
from presto_bench.attacks.autorap.search import Ranked
from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.attacks.finishes import REACHED, UNDECIDED, UNREACHABLE
from presto_bench.config.attacks import Oracle
from presto_bench.errors import UserError
from presto_bench.lm import chat
from presto_bench.policies.accepted import Accepted


@dataclass(frozen=True)
class Limits:
    """What a picker may do, and what the search may. budget: picks below the first rank, None for any number."""

    k: int
    budget: int | None
    max_tokens: int
    max_nodes: int


@dataclass(frozen=True)
class Walk:
    """The cheapest accepted walk: its ids, picks below rank 1 and bits; empty where none was found. looked_at: places whose candidates were asked for."""

    picked: tuple[int, ...]
    finish: str
    lower: int
    bits: float
    looked_at: int


@dataclass(frozen=True)
class Vocabulary:
    """text: what picked ids say. ends: candidates that end the response, so that no walk goes on there."""

    text: Callable[[Sequence[int]], str]
    ends: Collection[int]


def cheapest(
    prefill: Sequence[int], accepted: Accepted, limits: Limits, vocabulary: Vocabulary
) -> Generator[Ranked, Sequence[int], Walk]:
    """Uniform-cost search over walks; the cost is (picks below rank 1, bits: sum of log2 rank), compared in this order.

    Neither part decreases along a walk, so the first accepted walk that leaves the queue is the cheapest.
    """
    # The ids make the order of equal costs a fixed one.
    frontier: list[tuple[int, float, tuple[int, ...]]] = [(0, 0.0, ())]
    looked_at, cut = 0, False
    while frontier:
        lower, bits, picked = heapq.heappop(frontier)
        if accepted.reached(vocabulary.text(picked)):
            return Walk(picked, REACHED, lower, bits, looked_at)
        if looked_at >= limits.max_nodes:
            return Walk((), UNDECIDED, 0, 0.0, looked_at)
        if len(picked) >= limits.max_tokens:
            cut = True
            continue
        looked_at += 1
        ranked = yield Ranked((*prefill, *picked))
        for rank, token in enumerate(ranked, 1):
            cost, walk = lower + (rank > 1), (*picked, token)
            if token in vocabulary.ends or (limits.budget is not None and cost > limits.budget):
                continue
            said = vocabulary.text(walk)
            if accepted.reached(said) or accepted.alive(said):
                heapq.heappush(frontier, (cost, bits + math.log2(rank), walk))
    return Walk((), UNDECIDED if cut else UNREACHABLE, 0, 0.0, looked_at)


def run(config: Oracle, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    prefilled, limits = _read(config, variant)
    rows = [chat.encode(setting.tokenizer, r.prompt, setting.chat_format, r.prefill if prefilled else "") for r in requests]
    for request, row in zip(requests, rows, strict=True):
        if not request.accepted:
            raise UserError(
                f"attacks.{config.name}",
                "this policy has no list of what counts as an answer",
                "the oracle needs policy `facts`",
            )
        chat.require_fit(row, limits.max_tokens, setting.context, request.prompt_id)

    def search(request: Request, row: chat.Encoded) -> Generator[Ranked, Sequence[int], Walk]:
        text = partial(chat.continued, setting.tokenizer, row.prefill_ids)
        return cheapest(row.prefill_ids, Accepted(request.accepted), limits, Vocabulary(text, setting.end_ids))

    searches = [search(request, row) for request, row in zip(requests, rows, strict=True)]
    rank = Ranker(setting.model, rows, limits.k, setting.barred)
    found = drive(searches, rank, lambda asked: {})
    return [_completion(*one) for one in zip(requests, rows, found, strict=True)]


def _read(config: Oracle, variant: str) -> tuple[bool, Limits]:
    """(starts behind the prefill, limits) of a variant such as k20_prefill_b2."""
    k, start, *budget = variant.split("_")
    allowed = int(budget[0].removeprefix("b")) if budget else None
    return start == "prefill", Limits(int(k.removeprefix("k")), allowed, config.max_tokens, config.max_nodes)


def _completion(request: Request, row: chat.Encoded, walk: Walk) -> Completion:
    return Completion(request.prompt_id, 0, row.prefill_ids, walk.picked, walk.finish, len(walk.picked))
