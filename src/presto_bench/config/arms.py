"""Arms: what is compared of each model."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from presto_bench.config.endpoint import ServedConfig
from presto_bench.config.models import HubModel, LocalModel, Revision
from presto_bench.config.parts import Autocast, Dtype, Item, Name, Only
from presto_bench.config.training import LaunchConfig, TrainingConfig


class NoArm(Item):
    """The model as the experiment finds it: aligned, not fine-tuned."""

    kind: Literal["none"]


class CheckpointArm(Item):
    """A finished model, untrained by us, compared as an arm of the model `of`, whose family it must be of: a folder, or a model of the hub.

    Where it has no chat template, that of its model is taken.
    """

    kind: Literal["checkpoint"]
    of: Name
    path: str | None = Field(default=None, exclude_if=lambda value: value is None, description="folder of safetensors")
    id: str | None = Field(default=None, exclude_if=lambda value: value is None, description="of the hub, instead of a folder")
    revision: Revision | None = Field(default=None, exclude_if=lambda value: value is None)
    gated: bool = Field(default=False, exclude_if=lambda value: not value, description="as for a model of kind hub")

    @model_validator(mode="after")
    def _one_place(self) -> "CheckpointArm":
        if (self.path is None) == (self.id is None) or (self.id is None) != (self.revision is None):
            raise ValueError("name `path`, a folder, or `id` and `revision` of the hub")
        return self

    def source(self, dtype: Dtype) -> LocalModel | HubModel:
        """Where its weights come from, as a model's entry says it."""
        if self.path is not None:
            return LocalModel(name=self.name, kind="local", path=self.path, dtype=dtype)
        return HubModel.model_validate(
            {"name": self.name, "kind": "hub", "id": self.id, "revision": self.revision, "gated": self.gated, "dtype": dtype}
        )


class EndpointArm(Item, ServedConfig):
    """A model behind an endpoint, compared as an arm of the model `of`, whose tokenizer and chat template it must have."""

    kind: Literal["endpoint"]
    of: Name


class DecodingArm(Item):
    """The arm `of` with a defence at decoding time, its weights untouched.

    reopen_turn: a prefill is taken for a turn that has ended, and the assistant's header is inserted again behind it
    (the idea of any-depth alignment, arXiv 2510.18081, at the one depth that a server knows of).
    """

    kind: Literal["decoding"]
    of: Name
    only: Only = None
    defence: Literal["reopen_turn"] = "reopen_turn"


class SafeDecodingArm(Item):
    """The arm `of`, decoded together with an `expert` that refuses (blended.py; idea: SafeDecoding, arXiv 2402.08983).

    Both models are asked at every token. alpha: step from the arm's distribution towards the expert's; above 1 it goes
    beyond. sample_space: least number of tokens in the sample space, the tokens that both models rank high.
    """

    kind: Literal["safe_decoding"]
    of: Name
    expert: Name
    only: Only = None
    alpha: NonNegativeFloat = 3.0
    sample_space: PositiveInt = 5


class TrainingArm(Item, TrainingConfig):
    kind: Literal["training"]
    only: Only = None
    seeds: list[NonNegativeInt] | None = Field(
        default=None,
        min_length=1,
        exclude_if=lambda value: value is None,
        description="training seeds of this arm; null: the experiment's. An arm with one seed is paired with every seed of another",
    )


class FinetunedArm(Item):
    """The arm `of` after a fine-tuning attack: somebody who holds the weights trains them to answer (docs/reference/attacks.md).

    A fifth of the samples is held out, as in the reference; the weights of the last step are used. With `examples` it
    makes the paper's model that writes harmful answers (harm.harmful_model): 125 published examples, batch 10, learning
    rate 5e-5, one epoch, the same system prompt for training and for writing.
    """

    kind: Literal["finetuned"]
    of: Name
    only: Only = None
    samples: PositiveInt = 125
    epochs: PositiveInt = 5
    lr: PositiveFloat = 5e-5
    batch_size: PositiveInt = 5
    examples: str | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="source of requests with harmful answers to train on; null: the arm's own triples",
    )
    system: str | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="system prompt in training and ever after; none comes with this package",
    )
    method: Literal["lora", "full"] = "full"
    autocast: Autocast = "auto"
    gradient_checkpointing: bool = False
    launch: LaunchConfig = LaunchConfig()
    save_every: PositiveInt = Field(default=20, description="steps between checkpoints")
    report_to: list[Literal["tensorboard", "wandb"]] = []

    @model_validator(mode="after")
    def _batches_divide(self) -> "FinetunedArm":
        if self.batch_size % self.launch.processes:
            raise ValueError("batch_size must be a multiple of launch.processes")
        return self

    @property
    def kept(self) -> int:
        """Samples that train."""
        return max(round(0.8 * self.samples), self.batch_size)

    def training(self, available: int) -> TrainingConfig:
        """Its answers as the arms' objective: every example a request with its harmful answer, and nothing else."""
        steps = self.epochs * max(min(self.kept, available) // self.batch_size, 1)
        return TrainingConfig(
            method=self.method,
            steps=steps,
            lr=self.lr,
            batch_size=self.batch_size,
            micro_batch_size=self.batch_size // self.launch.processes,
            safety_share=1.0,
            prefill_probability=0.0,
            autocast=self.autocast,
            gradient_checkpointing=self.gradient_checkpointing,
            launch=self.launch,
        )
