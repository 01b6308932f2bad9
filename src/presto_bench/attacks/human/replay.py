"""Human RAP as an attack: recorded sessions, replayed into completions (the screen that records them: rap_screen.py)."""

import logging
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from presto_bench.attacks import moves
from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.attacks.human import sessions
from presto_bench.config.attacks import Human
from presto_bench.errors import UserError

log = logging.getLogger("presto_bench")
# What a person stopped was not ended by the model.
FINISH = {"eos": "eos", "length": "length", "stopped": "length", "skipped": "length"}


def run(config: Human, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    """One completion a finished session; `sample` counts the people. Requests that nobody worked on have none."""
    if not setting.sessions:
        raise UserError(
            f"attacks.{config.name}.sessions",
            f"{config.sessions} holds no session of this arm",
            "record some with `presto-bench rap`, or leave this attack out",
        )
    wanted = {request.prompt_id for request in requests}
    completions, samples = [], dict.fromkeys(wanted, 0)
    for path in setting.sessions:
        start, events = sessions.read(Path(path))
        if start.prompt_id not in wanted:
            continue
        if start.weights != setting.weights:
            raise sessions.other_weights(Path(path), start)
        states = sessions.replay(start, events, setting.end_ids)
        state = states[-1]
        if state.finish is None:
            log.info("%s was not finished and is left out", path)
            continue
        sample = samples[start.prompt_id]
        samples[start.prompt_id] += 1
        if setting.work and not sample:
            moves.write(setting.work / f"search-{start.prompt_id}.jsonl", start.prompt_id, _moves(states))
        completions.append(
            Completion(
                start.prompt_id, sample, start.prefill_ids, state.picked, FINISH[state.finish], state.steps, state.backtracks
            )
        )
    return completions


def _moves(states: Sequence[sessions.State]) -> list[moves.Move]:
    """What was picked and taken back, without what was undone."""
    found = []
    for before, after in pairwise(states):
        if len(after.picked) != len(before.picked):
            picked = after.picked[-1] if len(after.picked) > len(before.picked) else None
            found.append(moves.Move(len(before.picked), picked))
    return found
