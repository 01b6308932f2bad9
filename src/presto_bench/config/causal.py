"""The causal test."""

from pydantic import Field, NonNegativeInt, PositiveInt

from presto_bench.config.parts import Strict

UNPATCHED = "none"  # the causal test's pass that changes nothing


class CausalConfig(Strict):
    """The causal test: attention to the prefill knocked out, or given what the other arm of the headline pays, band of layers by band.

    On the headline's arms and base. A random span of the prompt, and the whole prompt, moved by as much, are the shams.
    """

    texts: PositiveInt = Field(default=24, description="held-out requests, and as many benign ones")
    layers_per_band: PositiveInt = Field(
        default=1, description="layers that are patched together; all of them together are patched as well"
    )
    seeds: list[NonNegativeInt] | None = Field(default=None, description="training seeds that are looked at; null takes all")
