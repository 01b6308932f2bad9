"""Continuations of a request and its prefill, as the attacked model itself samples them."""

from collections.abc import Sequence

from presto_bench import draws
from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.lm import chat
from presto_bench.lm.decoding import Continuation, Sampled, continue_rows


def sampled(
    requests: Sequence[Request],
    prefills: Sequence[str | list[int]],
    samples: int,
    max_new_tokens: int,
    setting: Setting,
    purpose: str,
) -> list[Completion]:
    """Continuations of prompt · prefill by the model's own sampling, each draw keyed by (purpose, prompt_id, sample)."""
    encoded = [
        chat.encode(setting.tokenizer, request.prompt, setting.chat_format, prefill)
        for request, prefill in zip(requests, prefills, strict=True)
    ]
    return sampled_behind(requests, encoded, samples, max_new_tokens, setting, purpose)


def sampled_behind(
    requests: Sequence[Request],
    encoded: Sequence[chat.Encoded],
    samples: int,
    max_new_tokens: int,
    setting: Setting,
    purpose: str,
) -> list[Completion]:
    """The same of rows that are encoded already."""
    for request, row in zip(requests, encoded, strict=True):
        chat.require_fit(row, max_new_tokens, setting.context, request.prompt_id)
    rows, completions = [row.ids for row in encoded], []
    for sample in range(samples):
        generators = [draws.generator(purpose, request.prompt_id, sample) for request in requests]
        pick = Sampled(setting.sampling, generators, max_new_tokens, setting.model.device)
        found = continue_rows(setting.model, rows, max_new_tokens, setting.end_ids, pick)
        completions += [
            completion(request, row, new, sample) for request, row, new in zip(requests, encoded, found, strict=True)
        ]
    return completions


def completion(request: Request, row: chat.Encoded, new: Continuation, sample: int = 0) -> Completion:
    return Completion(request.prompt_id, sample, row.prefill_ids, new.ids, new.finish, len(new.ids))
