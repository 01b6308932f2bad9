"""Greedy coordinate gradient (Zou et al. 2023, arXiv 2307.15043, Algorithm 1): the search, on token ids.

Each step: the gradient of the target's loss with respect to a one-hot suffix says which `top_k` tokens would lower the loss most at each position; of
`candidates` suffixes with one such token in place of another, the one with the lowest loss goes on. The best suffix of all steps is the attack's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers.cache_utils import DynamicCache

from presto_bench import draws
from presto_bench.config.attacks import Gcg
from presto_bench.errors import UserError
from presto_bench.lm import finite
from presto_bench.lm.forward import logits_only_at
from presto_bench.lm.reading import takes_rows_apart

ROUNDS = 4  # draws of candidates in a step, at most, until enough of them survive
Suffix = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """One request as ids: before · suffix · behind · target.

    allowed (V,) bool: tokens that a suffix may hold. survives: for each suffix, whether it keeps its ids
    when the prompt is encoded from the suffix's text.
    """

    prompt_id: str
    before: Suffix
    behind: Suffix
    target: Suffix
    allowed: torch.Tensor
    survives: Callable[[Sequence[Suffix]], list[bool]]


@dataclass(frozen=True)
class Step:
    """What one step chose. loss: mean cross-entropy of the target (nats a token). candidates: how many were looked at."""

    step: int
    suffix: Suffix
    loss: float
    candidates: int


@dataclass
class Losses:
    """Losses of suffixes, `side_by_side` of them a forward pass. What stands before the suffix is read once."""

    model: Any
    problem: Problem
    side_by_side: int
    shares_prefix: bool = True
    prefix: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.shares_prefix and self.problem.before and takes_rows_apart(self.model):
            self.prefix = _read(self.model, self.problem.before)

    def of(self, suffixes: Sequence[Suffix]) -> torch.Tensor:
        """(n,) mean cross-entropy of the target behind each suffix."""
        found: list[torch.Tensor] = []
        start = 0
        while start < len(suffixes):
            try:
                found.append(self._of_batch(suffixes[start : start + self.side_by_side]))
            except RuntimeError as error:
                self.side_by_side = _fewer(error, self.side_by_side)
                continue
            start += self.side_by_side
        return torch.cat(found)

    @torch.inference_mode()
    def _of_batch(self, suffixes: Sequence[Suffix]) -> torch.Tensor:
        rows = torch.tensor([self._row(suffix) for suffix in suffixes], device=self.model.device)
        return self._loss({"input_ids": rows}, rows)

    def gradient(self, suffix: Suffix) -> torch.Tensor:
        """(n, V): how much the loss would change with more of each token at each position of the suffix, to first order."""
        row = torch.tensor([self._row(suffix)], device=self.model.device)
        embed = self.model.get_input_embeddings()
        with torch.enable_grad():
            # Through the module, for some scale what their table holds.
            embedded = embed(row).detach().requires_grad_()
            loss = self._loss({"inputs_embeds": embedded}, row)
            (found,) = torch.autograd.grad(loss.sum(), embedded)
        start = 0 if self.prefix else len(self.problem.before)
        with torch.inference_mode():
            every = embed(torch.arange(len(self.problem.allowed), device=row.device))
            return found[0, start : start + len(suffix)].float() @ every.float().T

    def _row(self, suffix: Suffix) -> list[int]:
        before = () if self.prefix else self.problem.before
        return [*before, *suffix, *self.problem.behind, *self.problem.target]

    def _loss(self, inputs: dict[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        count, width = rows.shape
        target = len(self.problem.target)
        places = torch.arange(width, device=rows.device).expand(count, width)
        wanted = (places >= width - target - 1) & (places < width - 1)
        with logits_only_at(self.model, wanted):
            logits = self.model(**inputs, past_key_values=self._cache(count), use_cache=bool(self.prefix)).logits
        finite.require(logits, self.model)
        losses = F.cross_entropy(logits.float(), rows[:, -target:].flatten(), reduction="none")
        return losses.view(count, target).mean(1)

    def _cache(self, count: int) -> DynamicCache | None:
        """What was read before the suffix, for so many rows."""
        if not self.prefix:
            return None
        cache = DynamicCache(config=self.model.config)
        for layer, held in enumerate(self.prefix):
            keys, values = (part.expand(count, -1, -1, -1) for part in held)
            cache.update(keys, values, layer)
        return cache


@torch.no_grad()
def _read(model: Any, ids: Sequence[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values of each layer; none where a sliding window has dropped some of them already."""
    row = torch.tensor([list(ids)], device=model.device)
    cache = DynamicCache(config=model.config)
    model(input_ids=row, past_key_values=cache, use_cache=True, logits_to_keep=1)
    layers: list[Any] = cache.layers
    held = [(layer.keys, layer.values) for layer in layers]
    whole = all(keys.shape[-2] == len(ids) for keys, _ in held)
    return held if whole else []


def _fewer(error: RuntimeError, side_by_side: int) -> int:
    """Half as many, if memory ran out; else the error."""
    from accelerate.utils.memory import should_reduce_batch_size

    if side_by_side == 1 or not should_reduce_batch_size(error):
        raise error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return side_by_side // 2


def proposals(
    gradient: torch.Tensor, suffix: Suffix, allowed: torch.Tensor, top_k: int, count: int, rng: np.random.Generator
) -> list[Suffix]:
    """`count` suffixes that differ from this one at one position each, by one of the top_k allowed tokens with the most negative gradient there."""
    barred = gradient.masked_fill(~allowed, torch.inf)
    best = barred.topk(min(top_k, int(allowed.sum())), largest=False).indices.cpu().numpy()
    positions = rng.integers(len(suffix), size=count)
    chosen = best[positions, rng.integers(best.shape[1], size=count)]
    return [(*suffix[:at], int(token), *suffix[at + 1 :]) for at, token in zip(positions, chosen, strict=True)]


def candidates(losses: Losses, suffix: Suffix, config: Gcg, step: int) -> list[Suffix]:
    """The suffixes that a step looks at: those that survive, `config.candidates` at most. The draw is keyed by request and step, whatever ran before."""
    problem, gradient = losses.problem, losses.gradient(suffix)
    rng = draws.generator("gcg", config.seed, problem.prompt_id, step)
    found: list[Suffix] = []
    for _ in range(ROUNDS):
        drawn = proposals(gradient, suffix, problem.allowed, config.top_k, config.candidates, rng)
        found += [one for one, whole in zip(drawn, problem.survives(drawn), strict=True) if whole]
        if len(found) >= config.candidates:
            break
    return found[: config.candidates]


def search(losses: Losses, start: Suffix, config: Gcg, done: Sequence[Step] = ()) -> Iterator[Step]:
    """Steps behind those that are `done`; the first of all is the start itself, as step 0."""
    if not done:
        first = Step(0, start, float(losses.of([start])[0]), 1)
        yield first
        done = [first]
    now = done[-1]
    for step in range(now.step + 1, config.steps + 1):
        found = candidates(losses, now.suffix, config, step)
        if not found and step == 1:
            raise UserError(
                f"attacks.{config.name}",
                f"prompt {losses.problem.prompt_id}: no candidate suffix is the same ids again when it is decoded and encoded",
                "try another `suffix` to start from, or leave this attack out for this tokenizer",
            )
        values = losses.of(found) if found else torch.tensor([now.loss])
        best = int(values.argmin())
        now = Step(step, found[best] if found else now.suffix, float(values[best]), len(found))
        yield now


def best(steps: Sequence[Step]) -> Step:
    """The lowest loss of all steps, the first of equal ones."""
    return min(steps, key=lambda step: step.loss)
