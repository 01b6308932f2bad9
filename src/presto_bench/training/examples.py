"""Training rows as token ids: what carries cross-entropy, what counts towards N, and what attention is to leave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from presto_bench import draws
from presto_bench.config.training import TrainingConfig
from presto_bench.lm import chat
from presto_bench.training.presto import query_span

IGNORED = -100


@dataclass(frozen=True)
class Penalty:
    """Attention of queries [query_start, query_end) to keys [key_start, key_end) is penalised; none where the keys' ends are equal."""

    key_start: int
    key_end: int
    query_start: int
    query_end: int


NO_PENALTY = Penalty(0, 0, 0, 0)


@dataclass(frozen=True)
class Example:
    """One training row. supervised: whether its response carries cross-entropy; counted: its share of N (tokens).

    smoothing: share of its targets that is spread over the vocabulary.
    """

    prompt_id: str
    encoded: chat.Encoded
    supervised: bool
    counted: int
    penalty: Penalty = NO_PENALTY
    smoothing: float = 0.0


@dataclass(frozen=True)
class Texts:
    """What the rows of `augmented` name. triples: prompt_id -> (harmful, refusal); utility: prompt_id -> own answer."""

    prompts: Mapping[str, str]
    triples: Mapping[str, tuple[str, str]]
    utility: Mapping[str, str]


def build_examples(
    augmented: pd.DataFrame, texts: Texts, tokenizer: Any, chat_format: chat.ChatFormat, config: TrainingConfig
) -> list[Example]:
    """Rows of `augmented` as token ids, in training order."""

    end = chat.taught_end(tokenizer)

    def encode(prompt_id: str, prefill: str | list[int], response: list[int]) -> chat.Encoded:
        whole = chat.encode(tokenizer, texts.prompts[prompt_id], chat_format, prefill, [*response, end])
        return chat.Encoded(whole.ids[: config.max_tokens], whole.prefill_start, whole.response_start)

    def safety(row: Any) -> Example:
        harmful, refusal = texts.triples[row.prompt_id]
        ids = chat.encode_text(tokenizer, harmful)
        prefill, rest = ids[: row.prefill_tokens], ids[row.prefill_tokens :]
        continues = prefill and config.after_prefill == "continue"
        encoded = encode(row.prompt_id, prefill, rest if continues else chat.encode_text(tokenizer, refusal))
        supervised = config.prefilled_cross_entropy or not prefill
        counted = _counted(encoded, supervised, config)
        # What a prefilled example of the shallow alignment goes on with is no refusal.
        smoothing = 0.0 if continues else config.label_smoothing
        return Example(row.prompt_id, encoded, supervised, counted, _on_safety(row, encoded, config), smoothing)

    def utility(row: Any) -> Example:
        encoded = encode(row.prompt_id, "", chat.encode_text(tokenizer, texts.utility[row.prompt_id]))
        penalty = _on_utility(row, encoded, config)
        return Example(row.prompt_id, encoded, True, len(encoded.response_ids), penalty)

    rows = augmented.sort_values("order").itertuples()
    return [safety(row) if row.prompt_id in texts.triples else utility(row) for row in rows]


def _counted(encoded: chat.Encoded, supervised: bool, config: TrainingConfig) -> int:
    """A safety example's share of N, in tokens."""
    if config.normalise_by == "from_prefill":
        return len(encoded.ids) - encoded.prefill_start
    return len(encoded.response_ids) if supervised else 0


def _on_safety(row: Any, encoded: chat.Encoded, config: TrainingConfig) -> Penalty:
    if config.presto is None or config.presto.keys == "benign_prefill" or not encoded.prefill_ids:
        return NO_PENALTY
    start, end = encoded.prefill_start, encoded.response_start
    queries = query_span(config.presto.queries, start, end, len(encoded.ids))
    if config.presto.keys == "prefill":
        return Penalty(start, end, *queries)
    # Not the first token: many models park attention there that goes nowhere else, and a penalty on it is damage of another kind.
    length = min(end - start, start - 1)
    rng = draws.generator("random_span", row.seed, row.epoch, row.prompt_id)
    first = int(rng.integers(1, start - length + 1))
    return Penalty(first, first + length, *queries)


def _on_utility(row: Any, encoded: chat.Encoded, config: TrainingConfig) -> Penalty:
    if config.presto is None or config.presto.keys != "benign_prefill" or not row.prefill_tokens:
        return NO_PENALTY
    start = encoded.response_start
    end = min(start + row.prefill_tokens, len(encoded.ids))
    return Penalty(start, end, *query_span(config.presto.queries, start, end, len(encoded.ids)))


def by_length(examples: Sequence[Example], batch_size: int) -> list[Example]:
    """The same optimiser steps, each from its shortest example to its longest, so that a forward pass pads little.

    A step's loss is a sum over its examples: their order inside the step changes nothing.
    """
    steps = [examples[start : start + batch_size] for start in range(0, len(examples), batch_size)]
    return [example for step in steps for example in sorted(step, key=lambda example: len(example.encoded.ids))]


def collate(examples: Sequence[Example], pad: int) -> dict[str, torch.Tensor]:
    """Right-padded batch with spans; labels only where there is cross-entropy."""
    width = max(len(example.encoded.ids) for example in examples)
    ids = torch.full((len(examples), width), pad, dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    for i, example in enumerate(examples):
        row = torch.tensor(example.encoded.ids)
        ids[i, : len(row)] = row
        if example.supervised:
            labels[i, example.encoded.response_start : len(row)] = row[example.encoded.response_start :]
    return {
        "input_ids": ids,
        "labels": labels,
        "prefill_start": torch.tensor([e.encoded.prefill_start for e in examples]),
        "prefill_end": torch.tensor([e.encoded.prefill_end for e in examples]),
        "key_start": torch.tensor([e.penalty.key_start for e in examples]),
        "key_end": torch.tensor([e.penalty.key_end for e in examples]),
        "query_start": torch.tensor([e.penalty.query_start for e in examples]),
        "query_end": torch.tensor([e.penalty.query_end for e in examples]),
        "end": torch.tensor([len(e.encoded.ids) for e in examples]),
        "smoothing": torch.tensor([e.smoothing for e in examples]),
        "counted": torch.tensor([e.counted for e in examples]),
    }
