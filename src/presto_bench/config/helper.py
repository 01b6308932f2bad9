"""AutoRAP's helper."""

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from presto_bench import registry
from presto_bench.config.models import ChatConfig, ChatFormat, ModelConfig
from presto_bench.config.parts import Autocast, Share, Strict
from presto_bench.config.training import LoraConfig


class HelperConfig(Strict):
    """AutoRAP's helper: a model with a new token-classification head, trained to see where a response stays harmful.

    `lessons` says what it is taught (docs/reference/attacks.md): `paper` is appendix B.3 as printed, `strict` ours.
    """

    model: dict[str, Any] | None = Field(
        default=None,
        description="a model as in `models` that becomes the helper, with its own tokenizer and template (the paper: Qwen 2.5 1.5B Instruct for every "
        "target); null: the untouched parent of the model that is attacked",
    )
    method: Literal["lora", "full"] = Field(
        default="lora", description="the reference trains all weights; the paper does not say"
    )
    lessons: Literal["strict", "paper"] = Field(
        default="strict",
        description="paper: candidates are tokens in the top 20 of two or more requests, at one cut per request; `options` of "
        "them are drawn for each request, and all continuations are kept; lessons are cut after punctuation or from the 10th "
        "token to the end. strict: the most frequent candidates that are in the request's own top 20; only refusals are kept; "
        "lessons are cut at sentence ends (as the public code) or within 100 tokens",
    )
    steps: PositiveInt = 60
    epochs: PositiveInt | None = Field(
        default=None,
        description="instead of `steps`: every training request once an epoch, the last batch filled by drawing again (the paper: 80)",
    )
    batch_size: PositiveInt = Field(default=12, description="the paper: 64")
    lr: PositiveFloat = Field(default=1e-3, description="falls linearly to 0; the paper: 2e-5, all weights")
    lora: LoraConfig = LoraConfig()
    autocast: Autocast = "auto"
    prompts: PositiveInt = Field(default=32, description="training requests whose refusals are collected; the paper: 128")
    validation_share: Share = Field(
        default=0.0, description="of the training requests, set aside for the validation curve; the paper: 0.2"
    )
    redraws: PositiveInt = Field(
        default=3, description="times that lessons are drawn from each held-out request for its accuracy; the paper: 30"
    )
    options: PositiveInt = Field(
        default=6,
        description="first tokens a request is continued from; those in the top 20 of two requests or more. The paper: 20; the public code: all",
    )
    cuts: PositiveInt = Field(
        default=4, description="depths of a recipe at which a request's candidates are looked at; the paper: 1"
    )
    end_share: Share = Field(
        default=0.15, description="share of lessons about the end of the turn; 0 is the paper's and the reference's form"
    )
    stray_share: Share = Field(
        default=0.25,
        description="share of lessons about tokens in the target's top 20: half are also in the untouched model's top 20 "
        "(label harmful), half are outside its top 100 (label safe); 0 in the paper and in the reference",
    )

    def entry(self) -> ModelConfig:
        """`model` as an entry of `models`."""
        named = {"name": "helper_model", **(self.model or {})}
        return registry.config_class("models", str(named.get("kind")), "helper.model.kind").model_validate(named)

    def format(self, target: ChatFormat) -> ChatFormat:
        """How the helper is asked: by its own model's entry, or as its target."""
        return target if self.model is None else ChatConfig.model_validate(self.model.get("chat", {})).format
