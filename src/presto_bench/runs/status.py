"""Where an experiment stands, from its files alone: what is done, running, failed or not begun, by model, arm and seed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from presto_bench.config.arms import CheckpointArm, DecodingArm, EndpointArm, FinetunedArm, SafeDecodingArm, TrainingArm
from presto_bench.config.experiment import Config, is_for, is_graded

STAGES = ("augmented", "trained", "attacks", "grades", "ranks", "causal", "utility")
ERRORS = ("Error", "To mend it:", "Traceback", "Killed", "CANCELLED")
LIVELY = 600  # seconds without a word after which a job that is not done is not called running


@dataclass(frozen=True)
class Part:
    """One output of a stage with the log of the job that makes it."""

    output: Path
    log: Path


@dataclass(frozen=True)
class State:
    """done of all; the logs of parts that failed; whether one is at work."""

    done: int
    all: int
    failed: tuple[Path, ...] = ()
    running: bool = False

    def __str__(self) -> str:
        if self.done == self.all:
            return "done"
        counted = f"{self.done}/{self.all}"
        return f"{counted} failed" if self.failed else f"{counted} running" if self.running else counted


def table(config: Config, now: float | None = None) -> tuple[pd.DataFrame, list[Path]]:
    """One row a model, arm and seed with a column a stage; and the logs of what failed."""
    rows, failed = [], []
    for model, arm, seed in config.runs():
        states = {stage: state(parts(config, stage, model, arm, seed), now) for stage in STAGES}
        failed += [path for found in states.values() for path in found.failed]
        row = {stage: str(found) if found.all else "-" for stage, found in states.items()}
        rows.append({"model": model, "arm": arm, "seed": seed, **row})
    return pd.DataFrame(rows), failed


def parts(config: Config, stage: str, model: str, arm: str, seed: int) -> list[Part]:
    """Outputs that a stage has for one run. Human RAP counts where it was worked on."""
    root = Path("results") / config.experiment
    own = f"{model}/{arm}/seed{seed}"
    ours = isinstance(config.item("arms", arm), TrainingArm)

    def part(folder: str, rule: str, ending: str = ".parquet") -> Part:
        return Part(root / f"{folder}/{own}{ending}", root / f"logs/{rule}/{own}.log")

    attacks = [
        a
        for a in config.attack_names(model)
        if config.item("attacks", a).kind != "human" or (root / f"attacks/{a}/{own}.parquet").exists()
    ]
    match stage:
        case "augmented":
            return [part("augmented", "augment")] if ours else []
        case "trained":
            log = root / _log_of(config.item("arms", arm), model, own, "base" if config.policy == "harm" else "align")
            return [*_taught(config, root, model, arm), Part(root / f"models/{own}.manifest.json", log)]
        case "attacks":
            return [piece for a in attacks for piece in _pieces(config.item("attacks", a), part(f"attacks/{a}", f"attack/{a}"))]
        case "grades":
            return [
                part(f"grades/{j.name}/{a}", f"grade/{j.name}/{a}") for j in config.judges for a in attacks if is_graded(j, a)
            ]
        case "ranks":
            return [part("ranks", "ranks")]
        case "causal":
            return [part("causal", "causal")] if config.causal_runs(model, arm, seed) else []
        case "utility":
            return [part(f"utility/{t.name}", f"utility/{t.name}") for t in config.tasks if is_for(t, model)]
    raise ValueError(stage)


def _taught(config: Config, root: Path, model: str, arm: str) -> list[Part]:
    """What comes before the base under policy `facts`: the model's own answers, and the model that was taught the facts."""
    if config.policy != "facts" or arm != "base":
        return []
    return [
        Part(root / f"data/{model}/own.parquet", root / f"logs/own_answers/{model}.log"),
        Part(root / f"models/{model}/untouched/seed0.manifest.json", root / f"logs/teach/{model}.log"),
    ]


def _log_of(arm: Any, model: str, own: str, maker: str) -> str:
    """Which rule makes an arm's weights; maker: of the base."""
    if isinstance(arm, TrainingArm):
        return f"logs/finetune/{own}.log"
    if isinstance(arm, FinetunedArm):
        return f"logs/finetuning_attack/{own}.log"
    if isinstance(arm, DecodingArm):
        return f"logs/decoding_arm/{own}.log"
    if isinstance(arm, SafeDecodingArm):
        return f"logs/safe_decoding_arm/{own}.log"
    return (
        f"logs/checkpoint/{model}/{arm.name}.log"
        if isinstance(arm, CheckpointArm | EndpointArm)
        else f"logs/{maker}/{model}.log"
    )


def _pieces(attack: Any, whole: Part) -> list[Part]:
    """An attack's completions and, where it is spread over jobs, its shards'."""
    if attack.shards == 1:
        return [whole]
    names = [f"{shard}of{attack.shards}" for shard in range(attack.shards)]
    shards = [
        Part(whole.output.with_suffix(".shards") / f"{name}.parquet", whole.log.with_suffix(f".{name}.log")) for name in names
    ]
    return [*shards, whole]


def state(found: Sequence[Part], now: float | None = None) -> State:
    """A part is done when its output is there; else its log tells."""
    open_ones = [part for part in found if not part.output.exists() and part.log.exists()]
    failed = tuple(part.log for part in open_ones if _tells_of_an_error(part.log))
    moment = time.time() if now is None else now
    running = any(moment - part.log.stat().st_mtime < LIVELY for part in open_ones if part.log not in failed)
    return State(sum(part.output.exists() for part in found), len(found), failed, running)


def _tells_of_an_error(log: Path) -> bool:
    with open(log, "rb") as handle:
        handle.seek(max(log.stat().st_size - 4000, 0))
        end = handle.read().decode(errors="replace")
    return any(word in end for word in ERRORS)


def show(config: Config) -> str:
    """For a terminal."""
    found, failed = table(config)
    told = found.to_markdown(index=False)
    if failed:
        told += "\n\nfailed, see:\n" + "\n".join(f"  {path}" for path in failed)
    report = Path("results") / config.experiment / "summary.json"
    return told + (f"\n\nsummary: {report}" if report.exists() else "\n\nnot finished")
