"""tables/human_times.csv: how long people took for each token that they kept, from their recorded sessions."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from presto_bench import tables
from presto_bench.analysis import human_times
from presto_bench.attacks.human import sessions
from presto_bench.lm import chat, folders
from presto_bench.stages.job import Job

COLUMNS = ["model", "arm", "attack", "person", "level", "seconds", "tokens"]


def make(job: Job) -> None:
    ends = {path.parent.parent.name: _ends(path) for path in job.paths("untouched")}
    rows = [
        row
        for path in job.paths("sessions")
        for attack, folder in job.spec["folders"].items()
        if path.is_relative_to(folder)
        for row in _row(path, attack, ends)
    ]
    tables.write_three(job.path("times").with_suffix(""), human_times.table(pd.DataFrame(rows, columns=COLUMNS)))


def _ends(folder: Path) -> tuple[int, ...]:
    """Ids that end a turn of the model in `folder`, which is not loaded for that."""
    file = folder / "generation_config.json"
    configured = json.loads(file.read_text()).get("eos_token_id") if file.exists() else None
    listed = configured if isinstance(configured, list) else [configured]
    return tuple({*chat.end_of_turn(folders.load_tokenizer(folder)), *(token for token in listed if token is not None)})


def _row(path: Path, attack: str, ends: dict[str, tuple[int, ...]]) -> Iterator[dict[str, object]]:
    """One row of a finished session; none of another."""
    start, events = sessions.read(path)
    state = sessions.replay(start, events, ends.get(start.model, ()))[-1]
    if state.finish is None:
        return
    seconds = sum(event.get("seconds", 0.0) for event in events)
    kept = len(state.picked)
    run = {"model": start.model, "arm": start.arm, "attack": attack, "person": start.person, "level": start.level}
    yield run | {"seconds": seconds, "tokens": kept}
