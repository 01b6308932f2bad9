"""Teacher-forced forward passes: the logits of just the positions that are wanted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from presto_bench import progress
from presto_bench.lm import chat, finite


@contextmanager
def logits_only_at(model: Any, wanted: torch.Tensor) -> Iterator[None]:
    """Within: the model's logits are (n, V), one row for each True of `wanted` (B, T), row by row.

    With a vocabulary of 49k the other positions' logits would take half of a training step on a CPU.
    """
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda module, args: (args[0][wanted.to(args[0].device)], *args[1:]))
    try:
        yield
    finally:
        hook.remove()


@torch.inference_mode()
def response_log_probs(model: Any, rows: Sequence[chat.Encoded], pad: int) -> list[torch.Tensor]:
    """Of each row, the log-probability (nats) of every response token given all before it."""
    logits = response_logits(model, rows, pad)
    return [
        l.float().log_softmax(-1).gather(-1, torch.tensor(row.response_ids, device=l.device)[:, None])[:, 0]
        if row.response_ids
        else torch.zeros(0)
        for l, row in zip(logits, rows, strict=True)
    ]


def mean_log_likelihoods(model: Any, rows: Sequence[chat.Encoded], pad: int, batch: int = 16) -> list[float]:
    """Of each row, the mean log-likelihood (nats a token) of its response; 0 for an empty one."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))  # little padding; the result is keyed by place
    found = [0.0] * len(rows)
    for start in range(0, len(order), batch):
        progress.tell(start, len(order), "texts")
        part = order[start : start + batch]
        with finite.of_rows(part):
            log_likelihoods = response_log_probs(model, [rows[i] for i in part], pad)
        for i, log_probs in zip(part, log_likelihoods, strict=True):
            found[i] = float(log_probs.mean()) if len(log_probs) else 0.0
    return found


def response_logits(model: Any, rows: Sequence[chat.Encoded], pad: int) -> list[torch.Tensor]:
    """Of each row, logits (R, V) that predict its R response tokens."""
    return logits_at(model, rows, [range(row.response_start - 1, len(row.ids) - 1) for row in rows], pad)


@torch.inference_mode()
def logits_at(
    model: Any, rows: Sequence[chat.Encoded], positions: Sequence[Sequence[int]], pad: int, **extra: Any
) -> list[torch.Tensor]:
    """Of each row, logits (n, V) at its n ascending positions. Right padding without a mask is exact for real tokens.

    extra: what else the forward pass takes.
    """
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    wanted = torch.zeros_like(ids, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        wanted[i, list(positions[i])] = True
    with logits_only_at(model, wanted):
        logits = model(input_ids=ids.to(model.device), use_cache=False, **extra).logits
    with finite.of_rows([row for row, own in enumerate(positions) for _ in own]):
        finite.require(logits, model)
    return list(logits.split([len(own) for own in positions]))
