"""The causal test."""

from pydantic import Field, NonNegativeInt, PositiveInt

from presto_bench.config.parts import Strict

UNPATCHED = "none"  # the causal test's pass that changes nothing


class CausalConfig(Strict):
    """The causal test: change attention to the prefill in one band of layers at a time.

    Attention to the prefill is removed, or set to what the other headline arm pays. Runs on base and the headline's
    arms. Shams (controls): a random span of the prompt, and the whole prompt, changed by the same amount.
    """

    texts: PositiveInt = Field(default=24, description="held-out requests, and as many benign ones")
    layers_per_band: PositiveInt = Field(
        default=1, description="layers that are patched together; all of them together are patched as well"
    )
    seeds: list[NonNegativeInt] | None = Field(default=None, description="training seeds that are looked at; null takes all")
