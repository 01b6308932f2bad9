"""Guided RAP: among the target's top k, take the token that the untouched parent finds most likely (docs/method.md).

No helper is trained, and no probability of the target is used beyond its ranks: an upper reference for AutoRAP.
Candidates are the target's k best tokens with special tokens other than the end of the turn left out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import RepetitionPenaltyLogitsProcessor

from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.attacks.continuing import completion
from presto_bench.config.attacks import Guided
from presto_bench.lm import chat, reading
from presto_bench.lm.decoding import continue_rows
from presto_bench.measures.ranks import top_k


class GuidedPick:
    """Of each row's top k under the target, the token that `parent` ranks highest; the parent reads on by itself.

    rows: what the parent reads before the response: without the target's defence, so that it goes on with the answer.
    """

    def __init__(self, parent: Any, rows: Sequence[Sequence[int]], config: Guided, k: int, banned: Sequence[int]):
        self.k, self.banned = k, list(banned)
        self.penalty = RepetitionPenaltyLogitsProcessor(config.guide_repetition_penalty)
        self.guide = reading.reader(parent, rows, config.max_steps)
        self.started: int | None = None  # tokens that the target read before the response

    def __call__(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        self.started = ids.shape[1] if self.started is None else self.started
        said = ids[:, self.started :]
        if said.shape[1]:
            self.guide.read(said[:, -1])
        liked = self.penalty(said, self.guide.logits) if said.shape[1] else self.guide.logits
        candidates = top_k(_without(logits, self.banned), self.k)
        # Stable: of equally liked candidates the one with the better rank under the target wins.
        best = liked.gather(-1, candidates).argmax(-1, keepdim=True)
        return candidates.gather(-1, best)[:, 0]

    def leave(self, order: Sequence[int]) -> None:
        self.guide.leave(order)


def run(config: Guided, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    k, start, null = _read(variant)
    asked = [(r.swapped if null else r.prompt, r.prefill if start == "prefill" else "") for r in requests]
    encoded = [chat.encode(setting.tokenizer, prompt, setting.chat_format, prefill) for prompt, prefill in asked]
    for request, row in zip(requests, encoded, strict=True):
        chat.require_fit(row, config.max_steps, setting.context, request.prompt_id)
    rows = [row.ids for row in encoded]
    guides = [row.prompt_ids + row.prefill_ids for row in encoded]
    banned = sorted(set(setting.tokenizer.all_special_ids) - set(setting.end_ids))
    with torch.inference_mode():
        picker = GuidedPick(setting.parent, guides, config, k, banned)
    found = continue_rows(setting.model, rows, config.max_steps, setting.end_ids, picker)
    return [completion(setting, request, row, new) for request, row, new in zip(requests, encoded, found, strict=True)]


def _read(variant: str) -> tuple[int, str, bool]:
    """(k, prefill | noprefill, null) of a variant such as k20_prefill_null."""
    k, start, *end = variant.split("_")
    return int(k.removeprefix("k")), start, end == ["null"]


def _without(scores: torch.Tensor, banned: Sequence[int]) -> torch.Tensor:
    scores = scores.clone()
    scores[:, list(banned)] = -torch.inf
    return scores
