"""GCG as an attack: the suffix through our own chat path, a record of every step, greedy answers (docs/reference/attacks.md).

The paper ran nanoGCG. Here the prompt that is optimised is the very prompt that is evaluated: a suffix is a candidate only if its text is the same ids again.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from presto_bench import progress, tables
from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.attacks.continuing import completion
from presto_bench.attacks.gcg import search
from presto_bench.attacks.gcg.search import Losses, Problem, Step, Suffix
from presto_bench.config.attacks import Gcg
from presto_bench.errors import UserError
from presto_bench.lm import chat
from presto_bench.lm.decoding import continue_rows

PREFILL = "prefill"
OTHER = "?"  # a suffix of these shows where the suffix lies among the prompt's ids


def run(config: Gcg, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    rows = []
    for nth, request in enumerate(requests):
        with progress.part(nth, len(requests)):
            rows.append(_prompt(config, request, setting))
    found = continue_rows(setting.model, [row.ids for row in rows], config.max_new_tokens, setting.end_ids)
    return [completion(request, row, new) for request, row, new in zip(requests, rows, found, strict=True)]


def _prompt(config: Gcg, request: Request, setting: Setting) -> chat.Encoded:
    """The prompt with the best suffix that the search found."""
    made, start = problem(config, request, setting)
    losses = Losses(setting.model, made, config.side_by_side or config.candidates)
    path = setting.work / f"search-{request.prompt_id}.jsonl" if setting.work else None
    steps = _read(path) if path and path.exists() else []
    for step in search.search(losses, start, config, steps):
        steps.append(step)
        progress.tell(step.step, config.steps, "steps")
        if path:
            _record(path, request.prompt_id, step, setting.tokenizer)
    ids = (*made.before, *search.best(steps).suffix, *made.behind)
    return chat.Encoded(ids, len(ids), len(ids))


def problem(config: Gcg, request: Request, setting: Setting) -> tuple[Problem, Suffix]:
    """The request as ids, and the suffix that the search starts from."""
    tokenizer = setting.tokenizer
    encoded = _encoder(config, request, setting)
    whole, other = encoded(config.suffix), encoded(" ".join([OTHER] * len(config.suffix.split())))
    before, behind = _shared(whole, other)
    start = tuple(whole[before : len(whole) - behind])
    target = _target(config, request, tokenizer)
    row = chat.Encoded((*whole, *target), len(whole), len(whole) + len(target))
    chat.require_fit(row, config.max_new_tokens, setting.context, request.prompt_id)
    made = Problem(
        request.prompt_id,
        tuple(whole[:before]),
        tuple(whole[len(whole) - behind :]),
        target,
        _allowed(setting, config.ascii_only),
        _survivors(tokenizer, encoded, whole[:before], whole[len(whole) - behind :]),
    )
    if not start or not made.survives([start])[0]:
        raise UserError(
            f"attacks.{config.name}.suffix",
            f"prompt {request.prompt_id}: {config.suffix!r} is not the same ids again when it is decoded and encoded",
            "give a suffix of words and signs that this tokenizer has as tokens",
        )
    return made, start


def _encoder(config: Gcg, request: Request, setting: Setting) -> Callable[[str], list[int]]:
    """text of a suffix -> ids of the whole prompt."""
    behind = " " if config.space_behind_suffix else ""

    def encoded(text: str) -> list[int]:
        return chat.encode_prompt(setting.tokenizer, f"{request.prompt} {text}{behind}", setting.chat_format)

    return encoded


def _shared(whole: Sequence[int], other: Sequence[int]) -> tuple[int, int]:
    """(tokens that two prompts begin with, tokens that both end with)."""
    before = len(os.path.commonprefix([list(whole), list(other)]))  # noqa: RUF071 — ids, not paths
    behind = len(os.path.commonprefix([list(whole[before:])[::-1], list(other[before:])[::-1]]))  # noqa: RUF071
    return before, behind


def _target(config: Gcg, request: Request, tokenizer: Any) -> Suffix:
    text = request.prefill if config.target == PREFILL else config.target
    ids = chat.encode_text(tokenizer, f" {text}" if config.space_before_target else text)
    if not ids:
        raise UserError(f"attacks.{config.name}.target", f"prompt {request.prompt_id} has no target", "name a text as `target`")
    return tuple(ids)


def _allowed(setting: Setting, ascii_only: bool) -> torch.Tensor:
    """(V,) bool: tokens with text, no control tokens; printable ASCII alone where the config wants it."""
    width = setting.model.config.get_text_config().vocab_size
    allowed = torch.ones(width, dtype=torch.bool)
    allowed[list({*setting.barred, *(i for i in setting.end_ids if i < width)})] = False
    if ascii_only:
        texts = setting.tokenizer.batch_decode([[i] for i in range(width)])
        allowed &= torch.tensor([text.isascii() and text.isprintable() for text in texts])
    return allowed.to(setting.model.device)


def _survivors(
    tokenizer: Any, encoded: Callable[[str], list[int]], before: Sequence[int], behind: Sequence[int]
) -> Callable[[Sequence[Suffix]], list[bool]]:
    """Whether the prompt with a suffix's text is before · suffix · behind, id by id."""

    def survives(suffixes: Sequence[Suffix]) -> list[bool]:
        texts = tokenizer.batch_decode([list(suffix) for suffix in suffixes], clean_up_tokenization_spaces=False)
        wholes = [encoded(text.strip()) for text in texts]
        return [ids == [*before, *suffix, *behind] for ids, suffix in zip(wholes, suffixes, strict=True)]

    return survives


def _record(path: Path, prompt_id: str, step: Step, tokenizer: Any) -> None:
    """One line a step, on disk before the next one begins."""
    text = tokenizer.decode(list(step.suffix), clean_up_tokenization_spaces=False)
    with open(path, "a", encoding="utf-8", opener=tables.owner_only) as handle:
        handle.write(json.dumps({"prompt_id": prompt_id, **asdict(step), "text": text}) + "\n")


def _read(path: Path) -> list[Step]:
    """Whole steps of a killed search; a line that the kill cut short is taken off the file."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        os.truncate(path, len(whole.encode()))
    rows = [json.loads(line) for line in tables.json_lines(whole)]
    return [Step(row["step"], tuple(row["suffix"]), row["loss"], row["candidates"]) for row in rows]
