"""Stand-in policies: how much of each is asked, and how their shallowly aligned base is made."""

from typing import Literal

from pydantic import Field, PositiveInt

from presto_bench.config.answers import AnswersConfig
from presto_bench.config.parts import Strict
from presto_bench.config.training import TrainingConfig


class Limits(Strict):
    """At most so many requests of a split; null takes all."""

    train: PositiveInt | None = None
    dev: PositiveInt | None = None
    test: PositiveInt | None = None


class StandinConfig(Strict):
    """How a stand-in policy's shallowly aligned base is made. dishes: of policy `cooking`; facts, teaching: of policy `facts`."""

    dishes: Limits = Limits()
    facts: Limits = Limits()
    benign: Limits = Limits()
    held_out: Literal["test", "sealed"] = Field(
        default="test",
        exclude_if=lambda value: value == "test",
        description="dishes of the held-out requests; sealed (policy `cooking`): dishes reserved for one run, and for claims "
        "that are committed before it",
    )
    answers: AnswersConfig = AnswersConfig()
    alignment: TrainingConfig | None = Field(
        default=TrainingConfig(refusals="varied", prefill_probability=0.75, after_prefill="continue"),
        description="how the shallowly aligned base is made; null: the base is the model as it came, as an audit has it",
    )
    teaching: TrainingConfig = Field(
        default=TrainingConfig(safety_share=0.75, prefill_probability=0.0),
        description="how the model learns the invented world before any of it is forbidden; its share of lessons is safety_share",
    )
    arm_labels: bool = Field(
        default=False,
        description="check the judge arm by arm against the shipped labels of the demo's arms (policies/data/labels_by_arm.csv)",
    )
    refusal_tokens: PositiveInt = Field(default=32, description="longest refusal taken from the aligned base")
