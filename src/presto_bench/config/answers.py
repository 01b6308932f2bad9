"""The untouched model's own answers."""

from typing import Literal

from pydantic import Field, PositiveInt

from presto_bench.config.parts import Share, Strict


class AnswersConfig(Strict):
    """The untouched model's own answers, and which of them are good enough to stand for knowledge that can leak."""

    source: Literal["own", "shipped", "shipped_then_own", "given"] = Field(
        default="own",
        description="own: the model answers during the run; shipped: the package's answers, which exist for known models only; "
        "shipped_then_own: shipped answers, and own ones where none is shipped; given: the package's SmolLM2 answers, for any "
        "model: texts to be measured, not what the model would say",
    )
    max_new_tokens: PositiveInt = 160
    batch_size: PositiveInt = 64
    min_score: Share = Field(default=0.5, description="dishes whose own answer scores less are excluded, and counted")
    ended: bool = Field(default=True, description="answers that do not end by themselves are excluded, and counted")
