"""AutoRAP: a trained helper picks from the target's ranks (docs/reference/attacks.md).

Many searches run side by side: each round, all that wait for ranks share one forward pass of the target, and all that wait
for a label share one of the helper. Caches are kept per prompt and rolled back as the search is (rollback.py).
"""

import logging
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from presto_bench import progress
from presto_bench.attacks import moves
from presto_bench.attacks.autorap import search
from presto_bench.attacks.autorap.helper import shown_to_helper
from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.config.attacks import AutoRap
from presto_bench.lm import chat, finite, folders, models
from presto_bench.lm.rollback import Rollback
from presto_bench.measures.ranks import top_k, without

log = logging.getLogger("presto_bench")

TELL_EVERY = 60  # seconds
Result = TypeVar("Result")

# row -> question; row -> answer
Rank = Callable[[Mapping[int, Sequence[int]]], Mapping[int, list[int]]]
Label = Callable[[Mapping[int, tuple[Sequence[int], int]]], Mapping[int, bool]]


@dataclass(frozen=True)
class Variant:
    """k20_prefill_s64: k candidates, started from the prefill or from nothing, so many steps."""

    k: int
    prefilled: bool
    steps: int

    @classmethod
    def read(cls, name: str) -> "Variant":
        k, start, steps = name.split("_")
        return cls(int(k.removeprefix("k")), start == "prefill", int(steps.removeprefix("s")))


def run(config: AutoRap, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    chosen = Variant.read(variant)
    rows = [
        chat.encode(setting.tokenizer, r.prompt, setting.chat_format, r.prefill if chosen.prefilled else "") for r in requests
    ]
    for request, row in zip(requests, rows, strict=True):
        chat.require_fit(row, chosen.steps, setting.context, request.prompt_id)
    text = _texts(setting.tokenizer)
    searches = [_search(config.mode, row.prefill_ids, chosen.steps, text, setting.end_ids) for row in rows]
    if setting.helper is None:
        raise ValueError("AutoRAP needs a helper")
    helper, helper_tokenizer = models.load_helper(setting.helper, str(setting.model.dtype).removeprefix("torch."))
    # The published searches bar nothing.
    rank = Ranker(setting.model, rows, chosen.k, setting.barred if config.mode == "strict" else ())
    label = Labeller(helper, helper_tokenizer, setting, [r.prompt for r in requests])
    found = drive(searches, rank, label)
    if config.record and setting.work and variant == config.variants()[0]:
        for request, one in zip(requests, found, strict=True):
            moves.write(setting.work / f"search-{request.prompt_id}.jsonl", request.prompt_id, one.moves)
    return [_completion(r, row, f) for r, row, f in zip(requests, rows, found, strict=True)]


def drive(searches: Sequence[Generator[Any, Any, Result]], rank: Rank, label: Label) -> list[Result]:
    """Run searches to their ends, their questions answered together."""
    found: dict[int, Result] = {}
    waiting: dict[int, search.Ranked | search.Harmful] = {}

    def go_on(row: int, answer: object) -> None:
        waiting.pop(row, None)
        try:
            waiting[row] = searches[row].send(answer)
        except StopIteration as end:
            found[row] = end.value

    for row in range(len(searches)):
        go_on(row, None)
    told = time.monotonic()
    while waiting:
        progress.tell(len(found), len(searches), "searches")
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            log.info("%d of %d searches have ended", len(found), len(searches))
        for row, ranked in rank({i: q.ids for i, q in waiting.items() if isinstance(q, search.Ranked)}).items():
            go_on(row, ranked)
        for row, harmful in label({i: (q.ids, q.token) for i, q in waiting.items() if isinstance(q, search.Harmful)}).items():
            go_on(row, harmful)
    return [found[row] for row in range(len(searches))]


class Ranker:
    """The target's k best tokens behind prompt and response, best first (equal logits: the lower id first).

    rows: prompts with their prefills, which the responses asked about begin with. barred: ids that are no candidates.
    """

    def __init__(self, model: Any, rows: Sequence[chat.Encoded], k: int, barred: Sequence[int] = ()):
        self.model, self.rows, self.k, self.barred = model, rows, k, list(barred)
        self.cache = None if hasattr(model, "next_logits") else Rollback(model, len(rows))

    @torch.inference_mode()
    def __call__(self, wanted: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
        if not wanted:
            return {}
        logits = self._logits({row: self.rows[row].followed_by(ids) for row, ids in wanted.items()})
        with finite.of_rows(list(wanted)):
            offered = without(finite.require(logits, self.model), self.barred)
            best = top_k(offered, self.k)
        known = offered.gather(-1, best).isfinite()  # of a served model fewer than k may be left
        return {row: ids[own].tolist() for row, ids, own in zip(wanted, best, known, strict=True)}

    def _logits(self, rows: Mapping[int, Sequence[int]]) -> torch.Tensor:
        if self.cache is None:
            return self.model.next_logits(list(rows.values()))
        return self.model.get_output_embeddings()(self.cache.last_hidden(rows))


class Labeller:
    """The helper's verdict on prompt, response so far and a candidate, read as text through its own template and tokeniser.

    The end of the target's turn is shown as the helper's own end of turn.
    """

    def __init__(self, model: Any, tokenizer: Any, setting: Setting, prompts: Sequence[str]):
        self.model, self.tokenizer, self.setting = model, tokenizer, setting
        asked_as = folders.helper_format(setting.helper, setting.chat_format) if setting.helper else setting.chat_format
        self.prompts = [chat.encode_prompt(tokenizer, prompt, asked_as) for prompt in prompts]
        self.cache = Rollback(model, len(prompts))

    @torch.inference_mode()
    def __call__(self, wanted: Mapping[int, tuple[Sequence[int], int]]) -> dict[int, bool]:
        if not wanted:
            return {}
        hidden = self.cache.last_hidden({row: self.ids(row, *question) for row, question in wanted.items()})
        with finite.of_rows(list(wanted)):
            scores = finite.require(self.model.score(hidden), self.model, "labels")
        return dict(zip(wanted, (scores[:, 1] > scores[:, 0]).tolist(), strict=True))

    def ids(self, row: int, response: Sequence[int], candidate: int) -> list[int]:
        ends = candidate in self.setting.end_ids
        shown = list(response) if ends else [*response, candidate]
        return shown_to_helper(self.tokenizer, self.prompts[row], chat.decode(self.setting.tokenizer, shown), ends)


def _search(
    mode: str, prefill: Sequence[int], steps: int, text: Callable[[int], str], ends: Collection[int]
) -> Generator[Any, Any, search.Found]:
    if mode == "strict":
        return search.strict(prefill, steps, text, ends)
    return {"paper": search.paper, "reference": search.reference}[mode](prefill, steps, text)


def _texts(tokenizer: Any) -> Callable[[int], str]:
    known: dict[int, str] = {}

    def text(token: int) -> str:
        if token not in known:
            known[token] = tokenizer.decode([token])
        return known[token]

    return text


def _completion(request: Request, row: chat.Encoded, found: search.Found) -> Completion:
    kept = row.prefill_ids[: len(row.prefill_ids) - found.lost]
    return Completion(request.prompt_id, 0, kept, found.picked, found.finish, found.steps, found.backtracks, found.ranks)
