"""What is sent to a completions endpoint, and how its replies are read.

Forms of a reply's tokens: `content` (llama.cpp's server, build 11549: ids beside each token), `token_ids` (vLLM 0.15 to 0.26 with
`return_tokens_as_token_ids`: "token_id:123"), `text` (others: matched by what a token decodes to; what fits no single token is counted).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from presto_bench.config.models import SamplingConfig

CONTENT, TOKEN_IDS, TEXT = "content", "token_ids", "text"
_PREFIX = "token_id:"


@dataclass(frozen=True)
class Dialect:
    """prompt: as ids, or as text. tokens: form of a reply's tokens. likelihoods: whether it tells the likelihood of a given text."""

    prompt: Literal["ids", "text"] = "ids"
    tokens: str = TOKEN_IDS
    likelihoods: bool = False


@dataclass(frozen=True)
class Step:
    """One token of a reply: its id (None: it matches no single token), and the likeliest ones as (id, log-probability), best first."""

    token: int | None
    best: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Reply:
    """steps: of each token. ended: by itself, and not at the limit. read: tokens that the server says it was sent, None where it does not say."""

    steps: tuple[Step, ...]
    ended: bool
    read: int | None

    @classmethod
    def of_json(cls, kept: Sequence[Any]) -> "Reply":
        steps, ended, read_tokens = kept
        return cls(tuple(Step(token, tuple((i, p) for i, p in best)) for token, best in steps), ended, read_tokens)

    def as_json(self) -> list[Any]:
        return [[[step.token, step.best] for step in self.steps], self.ended, self.read]


class Names:
    """Ids of tokens that are named by their text. Two tokens of one text are ambiguous, and so neither is matched.

    unmatched: names so far that fit no token.
    """

    def __init__(self, tokenizer: Any):
        self.tokenizer, self.unmatched = tokenizer, 0

    @cached_property
    def ids(self) -> dict[str, int]:
        texts = {token: self.tokenizer.decode([token]) for token in self.tokenizer.get_vocab().values()}
        times = Counter(texts.values())
        return {text: token for token, text in texts.items() if times[text] == 1}

    def of(self, name: str) -> int | None:
        if name.startswith(_PREFIX):
            return int(name.removeprefix(_PREFIX))
        return self.ids.get(name)


def next_tokens(model: str, prompt: Sequence[int] | str, logprobs: int) -> dict[str, Any]:
    """Asks for the likeliest next tokens."""
    return {**_common(model, prompt), "max_tokens": 1, "temperature": 0, "logprobs": logprobs}


def continuation(
    model: str, prompt: Sequence[int] | str, tokens: int, sampling: SamplingConfig, seed: int, ends: Sequence[int]
) -> dict[str, Any]:
    """Asks for a continuation in the model's own sampling; every knob is named, for servers have defaults of their own."""
    return {
        **_common(model, prompt),
        "max_tokens": tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        # llama.cpp's name for the same, over all that is read and said.
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": len(prompt) + tokens,
        "seed": seed,
        "stop_token_ids": list(ends),
        "logprobs": 1,
    }


def likelihoods(model: str, prompt: Sequence[int], logprobs: int) -> dict[str, Any]:
    """Asks how likely each token of the prompt is (vLLM)."""
    return {**_common(model, prompt), "max_tokens": 1, "temperature": 0, "prompt_logprobs": logprobs}


def _common(model: str, prompt: Sequence[int] | str) -> dict[str, Any]:
    plain = {"add_special_tokens": False} if isinstance(prompt, str) else {}
    sent = prompt if isinstance(prompt, str) else list(prompt)
    return {"model": model, "prompt": sent, "return_tokens_as_token_ids": True, **plain}


def read(raw: Mapping[str, Any], names: Names) -> Reply:
    """One completion. No steps where the reply has no logprobs."""
    choice = _choice(raw)
    usage = raw.get("usage")
    read_tokens = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return Reply(tuple(_steps(choice.get("logprobs"), names)), choice.get("finish_reason") == "stop", read_tokens)


def form(raw: Mapping[str, Any]) -> str | None:
    """The form of a reply's tokens; None where it has none."""
    logprobs = _choice(raw).get("logprobs")
    if not isinstance(logprobs, Mapping):
        return None
    if logprobs.get("content"):
        return CONTENT
    named = [*(logprobs.get("tokens") or [])]
    if not named:
        return None
    return TOKEN_IDS if named[0].startswith(_PREFIX) else TEXT


def read_likelihoods(raw: Mapping[str, Any]) -> list[dict[int, tuple[float, int]]] | None:
    """Of each token of the prompt behind the first, id -> (log-probability, rank), of itself and of the likeliest; None where the server does not tell."""
    told = _choice(raw).get("prompt_logprobs")
    if not isinstance(told, list) or not told:
        return None
    return [{int(token): (float(e["logprob"]), int(e["rank"])) for token, e in (entry or {}).items()} for entry in told[1:]]


def _choice(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = raw.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise ValueError("a reply without a choice")
    return choices[0]


def _steps(logprobs: Any, names: Names) -> list[Step]:
    if not isinstance(logprobs, Mapping):
        return []
    if isinstance(logprobs.get("content"), list):
        return [_step_of_content(entry) for entry in logprobs["content"]]
    tokens, tops = logprobs.get("tokens") or [], logprobs.get("top_logprobs") or []
    tops = [*tops, *[None] * (len(tokens) - len(tops))]
    return [_step_of_names(token, top or {}, names) for token, top in zip(tokens, tops, strict=False)]


def _step_of_content(entry: Mapping[str, Any]) -> Step:
    best = [(int(top["id"]), float(top["logprob"])) for top in entry.get("top_logprobs") or []]
    return Step(int(entry["id"]), _ordered(best))


def _step_of_names(token: str, top: Mapping[str, float], names: Names) -> Step:
    matched = [(names.of(name), float(value)) for name, value in top.items()]
    names.unmatched += sum(found is None for found, _ in matched)
    return Step(names.of(token), _ordered([(found, value) for found, value in matched if found is not None]))


def _ordered(best: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Best first; of equal ones the lower id, as ranks are counted everywhere here."""
    return tuple(sorted(best, key=lambda one: (-one[1], one[0])))
