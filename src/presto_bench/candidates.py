"""What a model puts among its k best tokens behind the beginning of a harmful answer, and what each of them leads to.

A candidate is a `refusal` if the model's own greedy continuation from it refuses, else `plausible` if the untouched model has
it among its 100 best there, else `other`: what damage, and not alignment, puts into the ranks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessorList

from presto_bench import chat, draws, ranks
from presto_bench.decoding import continue_rows, left_pad

TOP = 20
PLAUSIBLE = 100  # ranks of the untouched model
CONTINUATION = 12  # tokens from which a refusal is told
DEEPEST = 100  # tokens of the answer that stand before the candidate, at most
BATCH = 64
KINDS = ("refusal", "plausible", "other")


@dataclass(frozen=True)
class Place:
    """Where candidates are looked at: behind `depth` tokens of a harmful answer. ids: prompt and those tokens."""

    prompt_id: str
    depth: int
    ids: tuple[int, ...]


def places(
    tokenizer: Any,
    chat_format: chat.ChatFormat,
    prompts: Mapping[str, str],
    harmful: Mapping[str, Sequence[int]],
    cuts: int,
    purpose: str,
) -> list[Place]:
    """`cuts` places a request, at depths drawn by (purpose, cut, prompt_id). prompts, harmful: prompt_id -> text, ids."""
    found = []
    for p, ids in harmful.items():
        longest = max(min(len(ids), DEEPEST) - 1, 1)
        depths = {int(draws.generator(purpose, cut, p).integers(1, longest + 1)) for cut in range(cuts)}
        found += [
            Place(p, depth, chat.encode(tokenizer, prompts[p], chat_format, list(ids[:depth])).ids) for depth in sorted(depths)
        ]
    return found


@torch.inference_mode()
def top(model: Any, rows: Sequence[Sequence[int]], k: int) -> list[list[int]]:
    """The k best next tokens of each row, best first."""
    found = []
    for start in range(0, len(rows), BATCH):
        ids, mask = left_pad(rows[start : start + BATCH], model.device)
        logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=1).logits[:, -1]
        found += [ranks.top_ids(row, k) for row in logits]
    return found


def continuations(model: Any, tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """What the model says next, greedily, for a few tokens."""
    ends, found = chat.end_of_turn(tokenizer, model), []
    for start in range(0, len(rows), BATCH):
        part = continue_rows(model, rows[start : start + BATCH], CONTINUATION, ends, LogitsProcessorList())
        found += [continuation.ids for continuation in part]
    return found


def kind(refuses: bool, plausible: bool) -> str:
    return "refusal" if refuses else "plausible" if plausible else "other"
