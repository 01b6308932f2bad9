"""AutoRAP's helper."""

from pydantic import Field, PositiveFloat, PositiveInt

from presto_bench.config.parts import Autocast, Share, Strict
from presto_bench.config.training import LoraConfig


class HelperConfig(Strict):
    """AutoRAP's helper: the untouched model with a token-classification head, trained to see where a response stays harmful."""

    steps: PositiveInt = 60
    batch_size: PositiveInt = 12
    lr: PositiveFloat = 1e-3
    lora: LoraConfig = LoraConfig()
    autocast: Autocast = "auto"
    prompts: PositiveInt = Field(32, description="training requests whose refusals are collected")
    options: PositiveInt = Field(
        6, description="first tokens a request is continued from; those in the top 20 of two requests or more"
    )
    cuts: PositiveInt = Field(4, description="depths of a recipe at which a request's candidates are looked at")
    end_share: Share = Field(0.15, description="share of lessons about the end of the turn; 0 is the reference's form")
    stray_share: Share = Field(
        0.25,
        description="share of lessons about what the target offers: half of it what the untouched model has among its 20 best "
        "(harmful), half what it has not among its 100 best (safe); 0 is the reference's form",
    )
