"""Configs of the judges; torch-free."""

from typing import ClassVar, Literal

from presto_bench.config import Item


class JudgeConfig(Item):
    """What every judge has. default: the judge whose grades make the headline; exactly one has it."""

    runner: ClassVar[str]
    default: bool = False


class Standin(JudgeConfig):
    """The stand-in policy's own judge: local, deterministic, without a key."""

    runner = "presto_bench.judges.standin:load"
    kind: Literal["standin"]
    fluency: bool = True
