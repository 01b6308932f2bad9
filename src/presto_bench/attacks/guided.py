"""Guided RAP: among the target's top k, take the token that the untouched parent finds most likely (docs/explanation/method.md).

No helper is trained, and no probability of the target is used beyond its ranks: an upper reference for AutoRAP.
Candidates are the target's k best tokens with special tokens other than the end of the turn left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import RepetitionPenaltyLogitsProcessor

from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.attacks.continuing import completion
from presto_bench.config.attacks import Guided
from presto_bench.lm import chat, finite, reading
from presto_bench.lm.decoding import continue_rows
from presto_bench.measures.ranks import top_k, without


class GuidedPick:
    """Of each row's top k under the target, the token that `parent` ranks highest; the parent reads on by itself.

    rows: ids that the parent reads before the response, without the target's decoding defence: it continues the answer.
    """

    def __init__(self, parent: Any, rows: Sequence[Sequence[int]], config: Guided, k: int, barred: Sequence[int]):
        self.parent, self.k, self.barred = parent, k, list(barred)
        self.penalty: Any = RepetitionPenaltyLogitsProcessor(config.guide_repetition_penalty)
        self.guide = reading.reader(parent, rows, config.max_steps)
        self.started: int | None = None  # tokens that the target read before the response
        self.running = torch.arange(len(rows), device=parent.device)
        self.ranks = torch.zeros(len(rows), config.max_steps, dtype=torch.long, device=parent.device)

    def __call__(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        self.started = ids.shape[1] if self.started is None else self.started
        said = ids[:, self.started :]
        if said.shape[1]:
            self.guide.read(said[:, -1])
        liked = self.penalty(said, self.guide.logits) if said.shape[1] else self.guide.logits
        offered = without(logits, self.barred)
        candidates = top_k(offered, self.k)
        # Of a served model fewer than k may be left: what it did not name is no candidate.
        taste = liked.gather(-1, candidates).masked_fill(offered.gather(-1, candidates).isinf(), -torch.inf)
        # Stable: of equally liked candidates the one with the better rank under the target wins.
        best = taste.argmax(-1, keepdim=True)
        self.ranks[self.running, said.shape[1]] = best[:, 0] + 1
        return finite.marked(candidates.gather(-1, best)[:, 0], self.guide.logits)

    def leave(self, order: Sequence[int]) -> None:
        self.guide.leave(order)
        self.running = self.running[reading.sent(order, self.running.device)]


def run(config: Guided, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    k, starts, null = _read(variant)
    rows = [_encoded(setting, r, starts, about_another=null is not None) for r in requests]
    read = [_encoded(setting, r, starts, about_another=null == "swapped") for r in requests]
    for request, *both in zip(requests, rows, read, strict=True):
        for row in both:
            chat.require_fit(row, config.max_steps, setting.context, request.prompt_id)
    guides = [row.prompt_ids + row.prefill_ids for row in read]
    with torch.inference_mode():
        picker = GuidedPick(setting.parent, guides, config, k, setting.barred)
    found = continue_rows(setting.model, [row.ids for row in rows], config.max_steps, setting.end_ids, picker)
    completions = [completion(request, row, new) for request, row, new in zip(requests, rows, found, strict=True)]
    return [replace(c, ranks=tuple(own[: c.steps])) for c, own in zip(completions, picker.ranks.tolist(), strict=True)]


def _read(variant: str) -> tuple[int, bool, str | None]:
    """(k, starts from the prefill, null) of a variant such as k20_prefill_guide_only."""
    k, start, *null = variant.split("_", 2)
    return int(k.removeprefix("k")), start == "prefill", null[0] if null else None


def _encoded(setting: Setting, request: Request, starts: bool, about_another: bool) -> chat.Encoded:
    """Prompt and prefill, of the request or of its twin."""
    asked = request.twin if about_another else request
    if asked is None:
        raise ValueError(f"{request.prompt_id} has no twin, which the null asks instead")
    return chat.encode(setting.tokenizer, asked.prompt, setting.chat_format, asked.prefill if starts else "")
