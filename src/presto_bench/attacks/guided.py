"""Guided RAP: among the target's top k, take the token that the untouched parent finds most likely (docs/method.md).

No helper is trained, and no probability of the target is used beyond its ranks: an upper reference for AutoRAP.
Candidates are the target's k best tokens with special tokens other than the end of the turn left out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.attacks.continuing import completion
from presto_bench.config.attacks import Guided
from presto_bench.lm import chat
from presto_bench.lm.decoding import continue_rows, left_pad, only
from presto_bench.measures.ranks import top_k


class GuidedPick(LogitsProcessor):
    """Leaves, of each row's top k under the target, the token that `parent` ranks highest; the parent keeps its own cache.

    rows: what the parent reads before the response: without the target's defence, so that it goes on with the answer.
    """

    def __init__(self, parent: Any, rows: Sequence[Sequence[int]], k: int, banned: Sequence[int], penalty: float):
        self.parent, self.k, self.banned = parent, k, list(banned)
        self.start, self.mask = left_pad(rows, parent.device)
        self.penalty = RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=self.mask.shape[1])
        self.cache = DynamicCache()
        self.read: int | None = None  # tokens that the target read before the response

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self.read = input_ids.shape[1] if self.read is None else self.read
        seen = torch.cat([self.start, input_ids[:, self.read :]], 1)
        guide = self.penalty(seen, self._parent_logits(seen))
        candidates = top_k(_without(scores, self.banned), self.k)
        # Stable: of equally liked candidates the one with the better rank under the target wins.
        best = guide.gather(-1, candidates).argmax(-1, keepdim=True)
        return only(scores, candidates.gather(-1, best))

    def _parent_logits(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(B, V) next-token logits of the parent; feeds it only what it has not seen."""
        grown = input_ids.shape[1] - self.mask.shape[1]
        mask = torch.nn.functional.pad(self.mask, (0, grown), value=1)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        seen = self.cache.get_seq_length()
        output = self.parent(
            input_ids=input_ids[:, seen:],
            attention_mask=mask,
            position_ids=positions[:, seen:],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]


def run(config: Guided, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    k, start, null = _read(variant)
    asked = [(r.swapped if null else r.prompt, r.prefill if start == "prefill" else "") for r in requests]
    encoded = [chat.encode(setting.tokenizer, prompt, setting.chat_format, prefill) for prompt, prefill in asked]
    for request, row in zip(requests, encoded, strict=True):
        chat.require_fit(row, config.max_steps, setting.context, request.prompt_id)
    rows = [row.ids for row in encoded]
    guides = [row.prompt_ids + row.prefill_ids for row in encoded]
    banned = sorted(set(setting.tokenizer.all_special_ids) - set(setting.end_ids))
    picker = GuidedPick(setting.parent, guides, k, banned, config.guide_repetition_penalty)
    found = continue_rows(setting.model, rows, config.max_steps, setting.end_ids, LogitsProcessorList([picker]))
    return [completion(setting, request, row, new) for request, row, new in zip(requests, encoded, found, strict=True)]


def _read(variant: str) -> tuple[int, str, bool]:
    """(k, prefill | noprefill, null) of a variant such as k20_prefill_null."""
    k, start, *end = variant.split("_")
    return int(k.removeprefix("k")), start, end == ["null"]


def _without(scores: torch.Tensor, banned: Sequence[int]) -> torch.Tensor:
    scores = scores.clone()
    scores[:, list(banned)] = -torch.inf
    return scores
