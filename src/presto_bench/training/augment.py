"""Data augmentation as a table: which example stands where in training, and with how long a prefill.

Training is a pure function of this table (docs/explanation/method.md). Every draw is keyed by (purpose, seed, epoch,
prompt_id): it depends neither on batches nor on the number of processes, and two arms with the same seed and the
same recipe see the same prefills.
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from presto_bench import draws
from presto_bench.config.training import TrainingConfig
from presto_bench.errors import UserError


def prefill_length(config: TrainingConfig, harmful_tokens: int, seed: int, epoch: int, prompt_id: str) -> int:
    """Length of the prefill in tokens of the harmful response: 0, or uniform in [1, min(len, max_prefill)].

    `cut_points` decides whether the largest length is included.
    """
    rng = draws.generator("augment", seed, epoch, prompt_id)
    if rng.random() >= config.prefill_probability:
        return 0
    longest = min(harmful_tokens, config.max_prefill) - (config.cut_points == "reference")
    return int(rng.integers(1, longest + 1)) if longest >= 1 else 0


def augment(
    config: TrainingConfig, seed: int, harmful_tokens: Mapping[str, int], utility_tokens: Mapping[str, int]
) -> pd.DataFrame:
    """The table `augmented` for config.steps optimiser steps: within each, safety examples before utility ones.

    Of each example's prompt_id, the tokens of the response that a prefill is cut from. A benign answer is cut only for
    the control that penalises attention to benign prefills; it is supervised whole all the same.
    """
    if not harmful_tokens or (not utility_tokens and config.safety_per_step < config.batch_size):
        raise UserError(
            "training data",
            f"{len(harmful_tokens)} safety and {len(utility_tokens)} utility examples are left",
            "both must be there: relax standin.answers or raise the limits",
        )
    safety_stream = _stream("order_safety", seed, list(harmful_tokens))
    utility_stream = _stream("order_utility", seed, list(utility_tokens))
    cuts_benign = config.presto is not None and config.presto.keys == "benign_prefill"
    rows = []
    for _ in range(config.steps):
        for _ in range(config.safety_per_step):
            epoch, prompt_id = next(safety_stream)
            length = prefill_length(config, harmful_tokens[prompt_id], seed, epoch, prompt_id)
            rows.append((seed, epoch, len(rows), prompt_id, length))
        for _ in range(config.batch_size - config.safety_per_step):
            epoch, prompt_id = next(utility_stream)
            length = prefill_length(config, utility_tokens[prompt_id], seed, epoch, prompt_id) if cuts_benign else 0
            rows.append((seed, epoch, len(rows), prompt_id, length))
    return pd.DataFrame(rows, columns=["seed", "epoch", "order", "prompt_id", "prefill_tokens"])


def _stream(purpose: str, seed: int, prompt_ids: list[str]) -> Iterator[tuple[int, str]]:
    """(epoch, prompt_id) without end, each epoch in an order of its own."""
    epoch = 0
    while True:
        for i in draws.generator(purpose, seed, epoch).permutation(len(prompt_ids)):
            yield epoch, prompt_ids[i]
        epoch += 1
