"""What a completions endpoint can do and what is wrong with it: five calls at most, before anything else is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from presto_bench.config.models import ChatFormat
from presto_bench.errors import UserError
from presto_bench.lm import chat
from presto_bench.lm.served import dialect
from presto_bench.lm.served.calls import Calls, Refused

ASKED, BEGUN = "Name the capital of France.", "The capital of France is"
COMPARED = 10  # likeliest tokens that a later look at the same model must tell again
DRIFT = 0.5  # nats; batches on a GPU move log-probabilities by a few hundredths
PREFILL, BARE = "behind a prefill", "bare"

Best = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Found:
    """What a probe found. context: the server's context length in tokens, None where it does not say.

    told: place -> most likely tokens there, used later to check that the endpoint still serves the same model.
    """

    dialect: dialect.Dialect
    context: int | None
    told: Mapping[str, Best]


def probe(calls: Calls, tokenizer: Any) -> Found:
    """Asks, and refuses a server whose answers cannot be used, with one sentence of remedy."""
    served = _served(calls)
    row = chat.encode(tokenizer, ASKED, ChatFormat(), BEGUN)
    prompt, raw = _first(calls, tokenizer, row.ids)
    names = dialect.Names(tokenizer)
    behind = _checked(calls, raw, row.ids, names)
    bare = dialect.read(calls.fresh(_body(calls, tokenizer, row.prompt_ids, prompt)), names)
    if bare.steps and bare.steps[0].best == behind.steps[0].best:
        raise UserError(
            calls.place,
            "its next token does not depend on the text after the prompt: it reads no prefill",
            "name an endpoint that goes on with raw text (`/v1/completions`), not one that writes chat turns around it",
        )
    told = prompt == "ids" and _tells_likelihoods(calls, row.ids)
    found = dialect.Dialect(prompt, dialect.form(raw) or dialect.TEXT, told)
    return Found(found, _context(served, calls.config.model), {PREFILL: behind.steps[0].best, BARE: bare.steps[0].best})


def require_the_same(calls: Calls, tokenizer: Any, prompt: Literal["ids", "text"], told: Best) -> None:
    """One call: whether the model that answers now is the one that was probed."""
    row = chat.encode(tokenizer, ASKED, ChatFormat(), BEGUN)
    now = dialect.read(calls.fresh(_body(calls, tokenizer, row.ids, prompt)), dialect.Names(tokenizer))
    if now.steps and same(told, now.steps[0].best):
        return
    raise UserError(
        f"{calls.place}.model",
        f"another model answers under the name {calls.config.model!r} than when this run began: its likeliest tokens are others",
        "serve the first one again, or give the new one an experiment of its own (another name)",
    )


def same(told: Best, now: Best) -> bool:
    """Whether two lists of likeliest tokens may be one model's: nearly all of the first few are in both, at nearly the same log-probability."""
    known = dict(now)
    shared = [(value, known[token]) for token, value in told[:COMPARED] if token in known]
    close = sum(abs(a - b) <= DRIFT for a, b in shared)
    return close >= 0.8 * min(COMPARED, len(told))


def prompt_of(tokenizer: Any, ids: Sequence[int], form: str) -> Sequence[int] | str:
    """What is sent for a row of ids."""
    return list(ids) if form == "ids" else tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)


def _body(calls: Calls, tokenizer: Any, ids: Sequence[int], form: str) -> dict[str, Any]:
    return dialect.next_tokens(calls.config.model, prompt_of(tokenizer, ids, form), calls.config.logprobs)


def _served(calls: Calls) -> list[Mapping[str, Any]]:
    """Entries of what the endpoint serves; a name that is not among them is refused."""
    entries = [entry for entry in calls.models().get("data") or [] if isinstance(entry, dict)]
    names = [str(entry.get("id")) for entry in entries]
    # A server of one model often takes any name.
    if len(names) > 1 and calls.config.model not in names:
        raise UserError(f"{calls.place}.model", f"the endpoint serves no {calls.config.model!r}", f"one of: {', '.join(names)}")
    return entries


def _context(entries: Sequence[Mapping[str, Any]], model: str) -> int | None:
    """vLLM says `max_model_len`, llama.cpp `meta.n_ctx`."""
    mine = next((e for e in entries if e.get("id") == model), entries[0] if len(entries) == 1 else {})
    found = mine.get("max_model_len") or (mine.get("meta") or {}).get("n_ctx")
    return int(found) if found else None


def _first(calls: Calls, tokenizer: Any, ids: Sequence[int]) -> tuple[Literal["ids", "text"], Mapping[str, Any]]:
    """The form of prompt that the server takes, and its first reply."""
    try:
        return "ids", calls.fresh(_body(calls, tokenizer, ids, "ids"))
    except Refused as refused:
        try:
            return "text", calls.fresh(_body(calls, tokenizer, ids, "text"))
        except Refused:
            raise refused from None


def _checked(calls: Calls, raw: Mapping[str, Any], ids: Sequence[int], names: dialect.Names) -> dialect.Reply:
    reply, wanted = dialect.read(raw, names), calls.config.logprobs
    if dialect.form(raw) is None or not reply.steps:
        raise UserError(
            calls.place,
            "its replies hold no log-probabilities, without which nobody can pick from ranks",
            "take a server that gives them with `logprobs` (vLLM and llama.cpp do)",
        )
    if reply.read is not None and reply.read != len(ids):
        more = "more" if reply.read > len(ids) else "fewer"
        raise UserError(
            calls.place,
            f"it read {reply.read} tokens where {len(ids)} were sent, {more} than it should: it adds something (a BOS, a byte-order mark), trims whitespace, or has another tokenizer",
            "switch off what changes prompts on the way, and name the tokenizer that belongs to the served model",
        )
    _require_names(calls, raw, reply, names)
    offered = len(reply.steps[0].best) + names.unmatched
    if offered < wanted:
        raise UserError(
            f"{calls.place}.logprobs",
            f"it returns {offered} likeliest tokens where {wanted} are asked for",
            f"raise the server's limit (vLLM: --max-logprobs {wanted}), or write `logprobs: {offered}` and attack with k up to {offered}",
        )
    return reply


def _require_names(calls: Calls, raw: Mapping[str, Any], reply: dialect.Reply, names: dialect.Names) -> None:
    """What was said, as text, is what its token decodes to. Whitespace around it matters only where tokens are told by their text."""
    said, token = str(raw["choices"][0].get("text", "")), reply.steps[0].token
    texts = (
        {names.tokenizer.decode([token], skip_special_tokens=skip).strip() for skip in (True, False)}
        if token is not None
        else set()
    )
    if said.strip() not in texts and "\ufffd" not in said:  # which stands for part of a character
        raise UserError(
            calls.place,
            f"its first token says {said!r}, which is not what the tokenizer here has for it",
            "name the tokenizer that belongs to the served model",
        )
    told = (raw["choices"][0].get("logprobs") or {}).get("top_logprobs") or [{}]
    if dialect.form(raw) == dialect.TEXT and not any(name[:1].isspace() for name in told[0]):
        raise UserError(
            calls.place,
            "none of its likeliest tokens in the middle of a sentence begins with a space: whitespace is trimmed, so that words and parts of words cannot be told apart",
            "take a server that returns tokens as they are, or their ids (vLLM, llama.cpp)",
        )


def _tells_likelihoods(calls: Calls, ids: Sequence[int]) -> bool:
    try:
        raw = calls.fresh(dialect.likelihoods(calls.config.model, ids, calls.config.logprobs))
    except Refused:
        return False
    told = dialect.read_likelihoods(raw)
    return told is not None and len(told) == len(ids) - 1
