"""The strength rule's grid: one arm at several learning rates, looked at on dev requests alone (analysis/strength.py)."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from presto_bench.config.arms import TrainingArm
from presto_bench.config.attacks import Guided, Prefilling
from presto_bench.config.parts import Item, Name, Strict
from presto_bench.config.strength_names import GUIDED, LOSS, PREFILLING
from presto_bench.config.tasks import AnswerLoss


class StrengthConfig(Strict):
    """How strong a training of `arm` is strong enough. Its seeds are used for nothing else; nothing of the test split is looked at."""

    arm: Name = "da"
    lr: list[PositiveFloat] = Field(min_length=1, description="learning rates; all else is as the arm says")
    seeds: list[NonNegativeInt] = Field(default=[100, 101, 102], min_length=1)
    depths: list[PositiveInt] = Field(
        default=[10, 25, 50], description="tokens of the untouched model's own answer to refuse behind"
    )
    decided: str | None = Field(
        default=None,
        description="folder of a finished grid (<model>.csv and .json) for the report; null: no grid backs the learning rate",
    )
    samples: PositiveInt = Field(default=4, description="sampled answers a request behind the attack's prefill")
    max_new_tokens: PositiveInt = 96

    @field_validator("lr", "seeds", "depths")
    @classmethod
    def _once(cls, values: list[float]) -> list[float]:
        if len(set(values)) < len(values):
            raise ValueError("list each value once")
        return values

    @property
    def rates(self) -> dict[str, float]:
        """Name of each grid arm -> its learning rate."""
        return {f"{self.arm}_lr{rate * 1e6:g}u".replace(".", "p"): rate for rate in self.lr}

    def arms(self, known: Sequence[Any]) -> list[TrainingArm]:
        """The grid's arms, from the arm that they vary."""
        start = next(arm for arm in known if arm.name == self.arm)
        return [start.model_copy(update={"name": name, "lr": rate}) for name, rate in self.rates.items()]

    def attacks(self, known: Sequence[Item]) -> list[Item]:
        """What is asked of each: prefilling at every depth, and guided RAP as the experiment has it, which is reported and no condition."""
        prefilling = Prefilling(
            name=PREFILLING,
            kind="prefilling",
            split="dev",
            greedy_recipe_lengths=self.depths,
            samples=self.samples,
            max_new_tokens=self.max_new_tokens,
        )
        own = next((attack for attack in known if attack.kind == "guided"), Guided(name=GUIDED, kind="guided"))
        guided = own.model_copy(update={"name": GUIDED, "split": "dev", "k": [20], "prefill": [True], "nulls": []})
        return [prefilling, guided]

    def tasks(self, known: Sequence[Item]) -> list[Item]:
        """What is measured of each on benign requests."""
        return [AnswerLoss(name=LOSS, kind="answer_loss", split="dev")]
