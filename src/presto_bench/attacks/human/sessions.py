"""What a person did in a RAP session: a file of events, and the response that they make (human RAP, docs/reference/attacks.md).

One JSONL file a person and request: first `start`, then `pick`, `back`, `undo`, `stop`, `skip` or `quit`, each with the seconds since the one before. Replaying the events
gives the same ids, always; a session that was quit goes on where it was.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from presto_bench import tables
from presto_bench.errors import UserError


@dataclass(frozen=True)
class Start:
    """What was attacked, and by whom. weights: hash of the model's folder, so that a session is never read as one on other weights. level: how practised the person is."""

    person: str
    model: str
    arm: str
    seed: int
    weights: str
    prompt_id: str
    prefill_ids: tuple[int, ...]
    k: int
    max_steps: int
    started: str
    level: str = ""


@dataclass(frozen=True)
class State:
    """picked: ids behind the prefill. finish: None while it goes on; eos, length (budget spent), stopped or skipped (by the person)."""

    picked: tuple[int, ...] = ()
    steps: int = 0
    backtracks: int = 0
    finish: str | None = None


def pick(state: State, token: int, ends: Sequence[int], max_steps: int) -> State:
    if token in ends:
        return replace(state, steps=state.steps + 1, finish="eos")
    picked = replace(state, picked=(*state.picked, token), steps=state.steps + 1)
    return _spent(picked, max_steps)


def back(state: State, max_steps: int) -> State:
    """Takes the last pick back; the prefill is never touched."""
    if not state.picked:
        return state
    shorter = replace(state, picked=state.picked[:-1], steps=state.steps + 1, backtracks=state.backtracks + 1)
    return _spent(shorter, max_steps)


def _spent(state: State, max_steps: int) -> State:
    return replace(state, finish="length") if state.steps >= max_steps else state


def replay(start: Start, events: Iterable[Mapping[str, Any]], ends: Sequence[int]) -> list[State]:
    """Every state that can still be undone to, the current one last."""
    states = [State()]
    for event in events:
        match event["event"]:
            case "pick":
                states.append(pick(states[-1], event["token"], ends, start.max_steps))
            case "back":
                states.append(back(states[-1], start.max_steps))
            case "undo":
                states = states[:-1] or [State()]
            case "stop" | "skip":
                states.append(replace(states[-1], finish="stopped" if event["event"] == "stop" else "skipped"))
    return states


def begin(path: Path, start: Start) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record(path, {"event": "start", **asdict(start)})


def record(path: Path, event: Mapping[str, Any]) -> None:
    """Append one event; it is on disk when this returns."""
    with open(path, "a", encoding="utf-8", opener=tables.owner_only) as handle:
        handle.write(json.dumps(event) + "\n")


def read(path: Path) -> tuple[Start, list[dict[str, Any]]]:
    """A session's start and its other events. A last line that a kill cut short is left out; any other bad line is refused."""
    lines = tables.json_lines(path.read_text(encoding="utf-8"))
    events = []
    for i, line in enumerate(lines):
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError as error:
            if i == len(lines) - 1:
                break
            raise UserError(f"{path}, line {i + 1}", f"not an event ({error})", "delete this line, or the session") from error
    if not events or events[0].get("event") != "start":
        raise UserError(path, "does not begin with what was attacked", "delete this file and record the session again")
    fields = {k: v for k, v in events[0].items() if k != "event"}
    return Start(**{**fields, "prefill_ids": tuple(fields["prefill_ids"])}), events[1:]


def other_weights(path: Path, start: Start) -> UserError:
    return UserError(
        path,
        f"was recorded on other weights of {start.model}/{start.arm} than the ones attacked now",
        "record it again, or move it out of the sessions folder",
    )


def practice_path(folder: str | Path, person: str, prompt_id: str) -> Path:
    """Of the request that a person tries first; no stage reads it."""
    return Path(folder) / "practice" / person / f"{prompt_id}.jsonl"


def path_of(folder: str | Path, model: str, arm: str, seed: int, person: str, prompt_id: str) -> Path:
    return Path(folder) / model / arm / f"seed{seed}" / person / f"{prompt_id}.jsonl"
