"""What stands in the top 20 behind harmful beginnings."""

from pydantic import PositiveInt

from presto_bench.config.parts import Strict


class CompositionConfig(Strict):
    """How many dev requests are looked at, and at how many depths of each one's answer (candidates.py)."""

    requests: PositiveInt = 12
    cuts: PositiveInt = 2
