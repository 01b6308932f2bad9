"""The untouched model's own answers."""

from typing import Literal

from pydantic import Field, PositiveInt

from presto_bench.config.parts import Share, Strict


class AnswersConfig(Strict):
    """The untouched model's own answers, and which of them are good enough to stand for knowledge that can leak."""

    source: Literal["own", "shipped", "shipped_then_own", "given"] = Field(
        default="own",
        description="given: the answers of SmolLM2 that come with the package, whatever the model: texts to be measured, not what it would say; shipped: answers that come with the package, for a model that it knows; own: the model answers in the run; shipped_then_own: it answers what no shipped answer is for",
    )
    max_new_tokens: PositiveInt = 160
    batch_size: PositiveInt = 64
    min_score: Share = Field(default=0.5, description="dishes whose own answer scores less are excluded, and counted")
    ended: bool = Field(default=True, description="answers that do not end by themselves are excluded, and counted")
