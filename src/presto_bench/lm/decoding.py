"""Batched decoding, on transformers' own `generate`.

Sampling is by inverse CDF: warp the logits, then pick where one uniform number per row falls. That is an exact draw,
and since each row has a generator of its own, a completion does not depend on what else is drawn in its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from presto_bench.config.models import SamplingConfig


@dataclass(frozen=True)
class Continuation:
    """New token ids, the end-of-turn token not included; finish is `eos` or `length`."""

    ids: tuple[int, ...]
    finish: str


class RowDraw(LogitsProcessor):
    """Turns greedy search into sampling: leaves only the token that the row's own generator draws."""

    def __init__(self, generators: Sequence[np.random.Generator]):
        self.generators = generators

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        uniform = torch.tensor([[rng.random()] for rng in self.generators], dtype=torch.float64, device=scores.device)
        cumulative = scores.double().softmax(-1).cumsum(-1)
        drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).clamp(max=scores.shape[-1] - 1)
        return only(scores, drawn)


def only(scores: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Logits (B, V) under which each row's token of (B, 1) is the sole choice."""
    return torch.full_like(scores, -torch.inf).scatter(-1, tokens, 0.0)


def sampling_processors(sampling: SamplingConfig, generators: Sequence[np.random.Generator]) -> LogitsProcessorList:
    """The model family's warpers in transformers' order, then the draw. Temperature 0 is greedy: no draw."""
    chain = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.temperature == 0:
        return chain
    chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p > 0:
        chain.append(MinPLogitsWarper(sampling.min_p))
    chain.append(RowDraw(generators))
    return chain


def left_pad(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, mask), both (B, T): rows end in the last column.

    The padding repeats the row's own first token: a repetition penalty then sees nothing that the row does not hold.
    """
    width = max(map(len, rows))
    ids = torch.tensor([[row[0]] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


@torch.inference_mode()
def continue_rows(
    model: torch.nn.Module,
    rows: Sequence[Sequence[int]],
    max_new_tokens: int,
    end_ids: Sequence[int],
    processors: LogitsProcessorList,
) -> list[Continuation]:
    """Continue each row of ids by greedy search over what `processors` leave."""
    ids, mask = left_pad(rows, model.device)
    output = _generate(model, max_new_tokens, end_ids, input_ids=ids, attention_mask=mask, logits_processor=processors)
    return [_cut(row, end_ids) for row in output[:, ids.shape[1] :].tolist()]


@torch.inference_mode()
def continue_options(
    model: torch.nn.Module,
    rows: Sequence[Sequence[int]],
    options: Sequence[Sequence[int]],
    max_new_tokens: int,
    end_ids: Sequence[int],
) -> list[list[Continuation]]:
    """Continue each row greedily from each of its options (one token each); a row's own tokens are read once."""
    most = max(map(len, options))
    ids, mask = left_pad(rows, model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_repeat_interleave(most)
    # Every row gets as many branches; those that it has no option for repeat its first.
    branches = torch.tensor([[*own, *[own[0]] * (most - len(own))] for own in options], device=model.device).reshape(-1, 1)
    output = _generate(
        model,
        max_new_tokens,
        end_ids,
        input_ids=torch.cat([ids.repeat_interleave(most, 0), branches], 1),
        attention_mask=torch.nn.functional.pad(mask.repeat_interleave(most, 0), (0, 1), value=1),
        past_key_values=cache,
    )
    new = [_cut(row, end_ids) for row in output[:, ids.shape[1] + 1 :].tolist()]
    return [new[i * most : i * most + len(own)] for i, own in enumerate(options)]


def _generate(model: torch.nn.Module, max_new_tokens: int, end_ids: Sequence[int], **inputs: object) -> torch.Tensor:
    """Greedy search. models.load leaves nothing but the end tokens in the generation config: a folder's own sampling cannot leak in."""
    return model.generate(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(end_ids),
        pad_token_id=end_ids[0],
        use_cache=True,
        **inputs,
    )


def _cut(ids: list[int], end_ids: Sequence[int]) -> Continuation:
    for i, token in enumerate(ids):
        if token in end_ids:
            return Continuation(tuple(ids[:i]), "eos")
    return Continuation(tuple(ids), "length")
