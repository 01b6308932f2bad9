"""The likeliest next tokens, step by step, as an attacker of ranks sees them (the paper's Figures 1 and 2): picked anew, or along a response that was given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from presto_bench.lm import chat, finite
from presto_bench.lm.forward import response_logits
from presto_bench.measures.ranks import token_ranks, top_k, without

SHOWN = 10  # tokens of a list
CHOICE = 20  # ranks that the attacker may pick from


@dataclass(frozen=True)
class Step:
    """One list, best first: ids, their probabilities, and the rank that was picked (it may lie below the list)."""

    ids: tuple[int, ...]
    probabilities: tuple[float, ...]
    picked_id: int
    picked_rank: int


@torch.inference_mode()
def lists(
    model: Any, read: Sequence[int], steps: int, barred: Sequence[int] = (), parent: Any = None, parent_read: Sequence[int] = ()
) -> list[Step]:
    """One list per step, for `steps` steps after the ids `read`.

    parent: picks from the 20 best the token that is most likely under it, as guided RAP does; without it the most
    likely token is picked. parent_read: ids that the parent reads before the response. No cache is used, since this is
    one request and a few tokens.
    """
    found: list[Step] = []
    for _ in range(steps):
        said = [step.picked_id for step in found]
        logits = _next(model, [*read, *said])
        best = top_k(logits, SHOWN)[0]
        candidates = top_k(without(logits, list(barred)), CHOICE)[0]
        place = 0 if parent is None else int(_next(parent, [*parent_read, *said])[0, candidates.to(parent.device)].argmax())
        probabilities = logits.softmax(-1)[0, best]
        found.append(Step(tuple(best.tolist()), tuple(probabilities.tolist()), int(candidates[place]), place + 1))
    return found


@torch.inference_mode()
def along(model: Any, rows: Sequence[chat.Encoded], pad: int, k: int = CHOICE) -> list[list[Step]]:
    """Of each row the k likeliest tokens at every token of its response, and which one that was, in one pass."""
    return [_steps(logits, row.response_ids, k) for row, logits in zip(rows, response_logits(model, rows, pad), strict=True)]


def _steps(logits: torch.Tensor, said: Sequence[int], k: int) -> list[Step]:
    best = top_k(logits.float(), k)
    own = torch.tensor(list(said), device=logits.device)[:, None]
    ranks = token_ranks(logits, list(said), ()).rank.tolist()
    probabilities = logits.float().softmax(-1).gather(-1, best)
    return [
        Step(tuple(ids), tuple(p), token, int(rank))
        for ids, p, (token,), rank in zip(best.tolist(), probabilities.tolist(), own.tolist(), ranks, strict=True)
    ]


def _next(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """(1, V) logits behind the ids."""
    logits = model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False, logits_to_keep=1).logits[:, -1]
    return finite.require(logits.float(), model)
