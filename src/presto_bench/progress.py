"""Progress of a job, in a small file that the live display reads (runs/live.py).

Library code only reports how much is done; it knows nothing of jobs or files. The file's path comes from the
environment, so that child processes of a job report too. Without a path nothing is written.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "PRESTO_BENCH_PROGRESS"
QUIET = "PRESTO_BENCH_QUIET"  # set where a board owns the terminal, so that jobs write to their logs alone
EVERY = 1.0  # seconds between two writes


@dataclass(frozen=True)
class Progress:
    """share: of the whole job, 0 to 1. done of `of` units: the part of it that is at work. rate: units a second; began, told: seconds since the epoch."""

    share: float
    done: int
    of: int
    unit: str
    rate: float
    began: float
    told: float


@dataclass
class _State:
    """window: which part of the job is at work, as shares of the whole; since: when it began, and with how much done."""

    window: tuple[float, float] = (0.0, 1.0)
    began: float = 0.0
    written: float = 0.0
    since: tuple[float, int] = (0.0, 0)


_state = _State()


def to(path: Path | None) -> None:
    """From now on this process and those that it starts tell of their progress there; None: nowhere."""
    global _state
    _state = _State(began=time.time())
    if path is None:
        os.environ.pop(VARIABLE, None)
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    os.environ[VARIABLE] = str(path)


def tell(done: int, of: int, unit: str) -> None:
    """So many of so many units are done. Written once a second at most; a disk that takes nothing is no reason to end a job."""
    path, now = os.environ.get(VARIABLE), time.time()
    if path is None or not of:
        return
    if done <= 1 or _state.since[1] > done:
        _state.since = (now, done)
    if now - _state.written < EVERY and done < of:
        return
    _state.written = now
    low, high = _state.window
    elapsed, counted = now - _state.since[0], done - _state.since[1]
    rate = counted / elapsed if elapsed > 0 else 0.0
    found = Progress(low + (high - low) * done / of, done, of, unit, rate, _state.began or now, now)
    temporary = Path(f"{path}.{os.getpid()}.tmp")
    with suppress(OSError):
        temporary.write_text(json.dumps(asdict(found)))
        os.replace(temporary, path)


@contextmanager
def part(number: int, of: int) -> Iterator[None]:
    """Within: what is told is about part `number` (from 0) of `of` equal ones."""
    outer = low, high = _state.window
    step = (high - low) / max(of, 1)
    _state.window = (low + number * step, low + (number + 1) * step)
    try:
        yield
    finally:
        _state.window = outer


def read(path: Path) -> Progress | None:
    """What a job told last; None where it told nothing."""
    try:
        return Progress(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def file_of(log: Path) -> Path | None:
    """Where the job with this log file tells: results/x/logs/a/b.log -> results/x/progress/a/b.json."""
    parts = list(log.parts)
    if "logs" not in parts:
        return None
    parts[parts.index("logs")] = "progress"
    return Path(*parts).with_suffix(".json")
