"""The moves of an attacker of ranks, token by token with what was taken back: kept beside completions, and read by the page's step view."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from presto_bench import tables


@dataclass(frozen=True)
class Move:
    """One step. depth: tokens behind the prefill before it. picked: None where the last token was taken back.

    harmful: candidate -> a helper's verdict, where there is a helper that was asked.
    """

    depth: int
    picked: int | None
    harmful: Mapping[int, bool] = field(default_factory=dict)


def straight(ids: Sequence[int]) -> list[Move]:
    """The moves of an attack that takes nothing back."""
    return [Move(depth, token) for depth, token in enumerate(ids)]


def write(path: Path, prompt_id: str, moves: Iterable[Move]) -> None:
    """One JSON line a move, for the owner alone."""
    lines = [json.dumps(_line(prompt_id, step, move), separators=(",", ":")) for step, move in enumerate(moves, 1)]
    tables.write_text(path, "".join(f"{line}\n" for line in lines), private=True)


def _line(prompt_id: str, step: int, move: Move) -> dict[str, Any]:
    return {"prompt_id": prompt_id, "step": step, "depth": move.depth, "picked": move.picked, "harmful": dict(move.harmful)}


def read(path: Path) -> dict[str, list[Move]]:
    """prompt_id -> its moves, in their order; nothing where there is no such file."""
    found: dict[str, list[Move]] = {}
    for line in tables.json_lines(path.read_text(encoding="utf-8")) if path.is_file() else ():
        raw = json.loads(line)
        harmful = {int(token): bool(verdict) for token, verdict in raw["harmful"].items()}
        found.setdefault(raw["prompt_id"], []).append(Move(raw["depth"], raw["picked"], harmful))
    return found


def paths(moves: Sequence[Move], end: int) -> list[tuple[int, ...]]:
    """Token sequences whose prefixes are all places that the moves visited. `end` follows a place without a pick."""
    said: list[int] = []
    found = []
    for move in moves:
        del said[move.depth :]
        if move.picked is None:
            found.append((*said, end))
        else:
            said.append(move.picked)
    return [*found, tuple(said)] if said else found


def places(moves: Sequence[Move]) -> list[tuple[int, ...]]:
    """What stood behind the prefill before each move."""
    said: list[int] = []
    found = []
    for move in moves:
        del said[move.depth :]
        found.append(tuple(said))
        if move.picked is not None:
            said.append(move.picked)
    return found
