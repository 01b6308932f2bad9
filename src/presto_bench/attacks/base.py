"""What every attack takes and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from presto_bench import draws, tables
from presto_bench.config.models import SamplingConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, vocabulary


@dataclass(frozen=True)
class Twin:
    """Prompt and prefill of a request about something else, which no answer to the request itself answers."""

    prompt: str
    prefill: str


@dataclass(frozen=True)
class Request:
    """One request under attack.

    twin: what the nulls ask instead, about something else. answer: the untouched model's own. accepted: all
    beginnings of a response that give away what was asked, where the policy can list them.
    """

    prompt_id: str
    prompt: str
    prefill: str
    twin: Twin | None = None
    answer: str = ""
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """The attacked model and all that is fixed about it.

    parent: the untouched model, helper: the folder of a trained helper, sessions: files that people recorded, for
    attacks that need them. weights: hash of the model's folder,
    beside sessions. work: folder of a job's progress, for attacks that keep their own.
    """

    model: Any
    tokenizer: Any
    chat_format: chat.ChatFormat
    sampling: SamplingConfig
    end_ids: tuple[int, ...]
    context: int
    parent: Any = None
    helper: Path | None = None
    sessions: tuple[str, ...] = ()
    weights: str = ""
    work: Path | None = None

    @cached_property
    def barred(self) -> list[int]:
        """Ids that no rank attack may pick."""
        return vocabulary.barred(self.tokenizer, self.model.config.get_text_config().vocab_size, self.end_ids)


@dataclass(frozen=True)
class Completion:
    """prefill_ids: what the response began with. token_ids: what was generated behind it (end of turn left out). steps: tokens picked.

    ranks: of each token the rank among the target's candidates, 1 the most likely; empty for an attack that picks from none.
    """

    prompt_id: str
    sample: int
    prefill_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    finish: str
    steps: int
    backtracks: int = 0
    ranks: tuple[int, ...] = ()


# (config, variant, one batch of requests, setting) -> completions, any number a request.
Attack = Callable[[Any, str, Sequence[Request], Setting], list[Completion]]


def held_out_requests(
    prompts: pd.DataFrame, answers: pd.DataFrame, prefills: pd.DataFrame, split: str = "test"
) -> list[Request]:
    """The forbidden requests of a split that there is an answer to, each with its prefill."""
    kept = answers[answers["kept"]].set_index("prompt_id")["answer"]
    chosen = prompts[(prompts["role"] == "harmful") & (prompts["split"] == split) & prompts["prompt_id"].isin(kept.index)]
    prefill = prefills.set_index("prompt_id")["prefill"]
    return [Request(r.prompt_id, r.prompt, prefill[r.prompt_id], answer=kept[r.prompt_id]) for r in tables.rows(chosen)]


def sample(requests: Sequence[Request], wanted: int, key: str) -> list[Request]:
    """A seeded sample, in the order of `requests`: the same for every arm; a larger one contains the smaller ones."""
    if wanted > len(requests):
        raise UserError(
            key, f"{wanted} requests, of {len(requests)} that there are", "ask for fewer, or leave it out to attack all"
        )
    names = sorted(request.prompt_id for request in requests)
    drawn = {names[i] for i in draws.generator("attacked_requests").permutation(len(names))[:wanted]}
    return [request for request in requests if request.prompt_id in drawn]


def with_twins(requests: Sequence[Request], twins: Mapping[str, tuple[str, str]]) -> list[Request]:
    """The same, each with the request that the nulls ask instead."""
    return [replace(request, twin=Twin(*twins[request.prompt_id])) for request in requests]


def with_accepted(requests: Sequence[Request], accepted: Mapping[str, tuple[str, ...]]) -> list[Request]:
    """The same, each with all that counts as an answer, where that is known."""
    return [replace(request, accepted=accepted.get(request.prompt_id, ())) for request in requests]


def greedily(setting: Setting) -> Setting:
    """The same setting, decoding greedily: "refuses" is defined on the greedy response."""
    return replace(setting, sampling=SamplingConfig(temperature=0))
