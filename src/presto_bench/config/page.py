"""The page of results."""

from pydantic import Field, NonNegativeInt

from presto_bench.config.parts import Strict


class PageConfig(Strict):
    steps: NonNegativeInt = Field(
        default=4,
        description="requests whose rank attack can be followed step by step (about 60 kB a request and arm of 64 steps); 0: none",
    )
