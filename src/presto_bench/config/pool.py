"""Pools: entries that are one model aligned with several seeds, judged together."""

from pydantic import Field

from presto_bench.config.parts import Name, Strict


class PoolConfig(Strict):
    """Claims are judged on the pool and not on each of its models: alignment seeds, training seeds and requests are resampled, crossed."""

    name: Name
    models: list[Name] = Field(min_length=2)
