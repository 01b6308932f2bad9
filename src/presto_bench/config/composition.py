"""What stands in the top 20 behind harmful beginnings."""

from typing import Literal

from pydantic import Field, PositiveInt

from presto_bench.config.parts import Strict


class CompositionConfig(Strict):
    """How many requests are looked at, and at how many depths of each one's answer (measures/candidates.py)."""

    requests: PositiveInt = 12
    cuts: PositiveInt = 2
    split: Literal["dev", "test"] = Field(
        default="dev",
        exclude_if=lambda value: value == "dev",
        description="test: the held-out requests, for an audit, in which nothing is chosen by what is seen here",
    )
