"""The untouched model's own answers."""

from pydantic import Field, PositiveInt

from presto_bench.config.parts import Share, Strict


class AnswersConfig(Strict):
    """The untouched model's own answers, and which of them are good enough to stand for knowledge that can leak."""

    max_new_tokens: PositiveInt = 160
    batch_size: PositiveInt = 64
    min_score: Share = Field(0.5, description="dishes whose own answer scores less are excluded, and counted")
    ended: bool = Field(True, description="answers that do not end by themselves are excluded, and counted")
