"""AutoRAP's search for one prompt (docs/reference/attacks.md), as a generator that yields questions to a driver.

A search asks for the target's ranked candidates after some ids, and whether the helper labels one candidate harmful.
The driver (attack.py) batches the questions of many searches. Only the first remaining harmful candidate matters, so
candidates are labelled lazily, in rank order.
"""

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from presto_bench.attacks.moves import Move


@dataclass(frozen=True)
class Ranked:
    """Which tokens come next after these response ids (prefill included), best first? Answer: list of ids."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class Harmful:
    """Is the response harmful once `token` stands behind these ids? Answer: bool."""

    ids: tuple[int, ...]
    token: int


@dataclass(frozen=True)
class Found:
    """picked: ids behind the prefill. finish: eos, length (budget spent) or exhausted (nowhere left to go).

    lost: prefill tokens that were taken back; only the reference's form does that. ranks: of the picked tokens among the candidates. moves: every step.
    """

    picked: tuple[int, ...]
    finish: str
    steps: int
    backtracks: int
    lost: int = 0
    ranks: tuple[int, ...] = ()
    moves: tuple[Move, ...] = ()


@dataclass
class _Level:
    """What is known of one position: its candidates, their labels as far as asked, the tokens that were tried there."""

    ranked: Sequence[int] | None = None
    labels: dict[int, bool] = field(default_factory=dict)
    tried: set[int] = field(default_factory=set)

    def move(self, depth: int, picked: int | None) -> Move:
        """What was done here, with the labels that are known by now."""
        return Move(depth, picked, dict(self.labels))


Search = Generator[Ranked | Harmful, Any, Found]


def paper(prefill: Sequence[int], steps: int, text: Callable[[int], str]) -> Search:
    """Algorithm 1 of the paper: no end of turn, a memory of one step, and an end as soon as nothing is selected.

    text: a token's text; texts are compared as they are, those of the prefill's last tokens included. A backtrack that takes the first pick back
    ends the search: the first position is never tried twice.
    """
    ids, levels, removed, backtracks = list(prefill), [_Level()], None, 0
    moves: list[Move] = []
    for step in range(1, steps + 1):
        pick = yield from _best_behind(removed, levels[-1], ids, text)
        moves.append(levels[-1].move(len(ids) - len(prefill), pick))
        removed = None
        if pick is not None:
            ids.append(pick)
            levels.append(_Level())
            continue
        backtracks += 1
        if len(levels) > 1:
            removed = ids.pop()
            levels.pop()
        if len(levels) == 1:
            return Found((), "exhausted", step, backtracks, moves=tuple(moves))
    picked = tuple(ids[len(prefill) :])
    return Found(picked, "length", steps, backtracks, ranks=_ranks(levels, picked), moves=tuple(moves))


def reference(prefill: Sequence[int], steps: int, text: Callable[[int], str]) -> Search:
    """The reference's form: no end of turn, and a memory of one step.

    text: a token's text. If no candidate remains, the last token is removed. At the first position this removes the
    prefill's last token, and the search stops.
    """
    ids, levels, removed, backtracks = list(prefill), [_Level()], None, 0
    moves: list[Move] = []
    for step in range(1, steps + 1):
        pick = yield from _best_behind(removed, levels[-1], ids, _stripped(text))
        moves.append(levels[-1].move(len(ids) - len(prefill), pick))
        if pick is not None:
            ids.append(pick)
            levels.append(_Level())
            removed = None
            continue
        removed = ids.pop() if ids else None
        levels.pop()
        backtracks += 1
        if not levels:
            return Found((), "exhausted", step, backtracks, lost=1, moves=tuple(moves))
    picked = tuple(ids[len(prefill) :])
    return Found(picked, "length", steps, backtracks, ranks=_ranks(levels, picked), moves=tuple(moves))


def strict(prefill: Sequence[int], steps: int, text: Callable[[int], str], ends: Collection[int]) -> Search:
    """Our form: the end of the turn is a candidate, and picking it ends the response; tried tokens are remembered by depth.

    The prefill is never touched.
    """
    ids, levels, backtracks = list(prefill), [_Level()], 0
    moves: list[Move] = []
    for step in range(1, steps + 1):
        level, pick = levels[-1], None
        listed = yield from _ranked(level, ids)
        for token in listed:
            if token in level.tried or _repeats(ids, token, _stripped(text)):
                continue
            if (yield from _harmful(level, ids, token)):
                pick = token
                break
        moves.append(level.move(len(ids) - len(prefill), pick))
        if pick in ends:
            picked = tuple(ids[len(prefill) :])
            return Found(picked, "eos", step, backtracks, ranks=_ranks(levels, picked), moves=tuple(moves))
        if pick is not None:
            level.tried.add(pick)
            ids.append(pick)
            levels.append(_Level())
            continue
        if len(levels) == 1:
            return Found((), "exhausted", step, backtracks, moves=tuple(moves))
        ids.pop()
        levels.pop()
        backtracks += 1
    picked = tuple(ids[len(prefill) :])
    return Found(picked, "length", steps, backtracks, ranks=_ranks(levels, picked), moves=tuple(moves))


def _best_behind(
    removed: int | None, level: _Level, ids: Sequence[int], text: Callable[[int], str]
) -> Generator[Ranked | Harmful, Any, int | None]:
    """First harmful candidate ranked below `removed` that does not repeat a text a third time in a row, or None."""
    listed = yield from _ranked(level, ids)
    for token in _after(listed, removed):
        if (yield from _harmful(level, ids, token)) and not _repeats(ids, token, text):
            return token
    return None


def _ranks(levels: Sequence[_Level], picked: Sequence[int]) -> tuple[int, ...]:
    """Of each picked token its place among the candidates of its level."""
    return tuple(list(level.ranked or ()).index(token) + 1 for level, token in zip(levels, picked, strict=False))


def _ranked(level: _Level, ids: Sequence[int]) -> Generator[Ranked, Sequence[int], Sequence[int]]:
    if level.ranked is None:
        level.ranked = yield Ranked(tuple(ids))
    return level.ranked


def _harmful(level: _Level, ids: Sequence[int], token: int) -> Generator[Harmful, bool, bool]:
    if token not in level.labels:
        level.labels[token] = yield Harmful(tuple(ids), token)
    return level.labels[token]


def _after(ranked: Sequence[int], removed: int | None) -> Sequence[int]:
    """Candidates behind the one that was just taken back. It was picked here, so it is among the harmful ones."""
    return ranked[ranked.index(removed) + 1 :] if removed in ranked else ranked


def _repeats(ids: Sequence[int], token: int, text: Callable[[int], str]) -> bool:
    """Whether the token's text is that of each of the last two tokens."""
    return len(ids) >= 2 and text(ids[-1]) == text(ids[-2]) == text(token)


def _stripped(text: Callable[[int], str]) -> Callable[[int], str]:
    """The same texts, white space aside."""
    return lambda token: text(token).strip()
