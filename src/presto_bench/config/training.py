"""Training: the DA objective and what may be added to it."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from presto_bench.config.parts import Autocast, Share, Strict


class LoraConfig(Strict):
    r: PositiveInt = 16
    alpha: PositiveInt = 32


class PrestoConfig(Strict):
    """The PRESTO term (docs/explanation/method.md)."""

    weight: NonNegativeFloat = 1.0
    layers: Literal["all"] | Annotated[list[NonNegativeInt], Field(min_length=1)] = "all"
    queries: Literal["all", "refusal", "prefill"] = Field(
        default="all",
        description="whose attention counts: all tokens from the prefill on (the public code), the prefill's own (the paper's equation 3), or the "
        "refusal's",
    )
    normalisation: Literal["reference", "equation"] = Field(
        default="reference",
        description="what the sum is divided by: layers and the step's tokens (the public code), or the step's prefilled examples alone (the paper's "
        "equation 3)",
    )
    keys: Literal["prefill", "random_span", "benign_prefill"] = Field(
        default="prefill",
        description="tokens to which attention is penalised; prefill: the harmful prefill. Two controls: random_span: a random "
        "span of the prompt, as long as the prefill (or as the prompt without its first token, where that is shorter); "
        "benign_prefill: the beginning of the model's own answer to a benign request",
    )
    attention: Literal["fused", "eager"] = Field(
        default="fused",
        description="where the mass comes from; eager keeps every attention matrix, for models without fused attention",
    )


class KlConfig(Strict):
    """KL(base's first-token distribution on the bare prompt ‖ the arm's right after the prefill), times weight."""

    weight: NonNegativeFloat = 1.0


class TransitionConfig(Strict):
    """DeRTa's second objective (arXiv 2407.09121), times weight: behind every token of the harmful beginning, the refusal's first token."""

    weight: NonNegativeFloat = 1.0


class LaunchConfig(Strict):
    """How many processes train together, one a device, through accelerate."""

    processes: PositiveInt = 1
    strategy: Literal["ddp", "fsdp"] = Field(
        default="ddp", description="fsdp shards weights, gradients and optimiser over the processes"
    )


class TrainingConfig(Strict):
    """The DA objective (docs/explanation/method.md) and what is added to it."""

    method: Literal["lora", "full"] = "lora"
    lora: LoraConfig = LoraConfig()
    steps: PositiveInt = 100
    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.01
    max_grad_norm: PositiveFloat = 1.0
    batch_size: PositiveInt = Field(default=8, description="examples in one optimiser step")
    micro_batch_size: PositiveInt = Field(default=8, description="examples in one forward pass")
    autocast: Autocast = "auto"
    gradient_checkpointing: bool = False
    safety_share: Share = 0.5
    normalise_by: Literal["labelled", "from_prefill"] = Field(
        default="from_prefill",
        description="tokens of a safety example that count in the loss's divisor N; labelled: tokens with a label (the paper, "
        "as Qi et al.'s trainer); from_prefill: all from the first prefill token on (the public code)",
    )
    prefill_probability: Share = 0.5
    cut_points: Literal["paper", "reference"] = Field(
        default="reference",
        description="lengths of a prefill: uniform in [1, min(max_prefill, length)] with both ends in (the paper), or without the longest (the public "
        "code)",
    )
    max_prefill: PositiveInt = 100
    max_tokens: PositiveInt = Field(default=384, description="longest example; a longer one is cut at its end")
    refusals: Literal["greedy", "sampled", "varied", "given"] = Field(
        default="greedy",
        description="greedy: the base's own greedy answers; sampled: samples from the base; varied: our list (stand-in); "
        "given: those that came with the triples (harm)",
    )
    after_prefill: Literal["refuse", "continue"] = Field(
        default="refuse",
        description="what a prefilled example teaches; `continue` is what makes a stand-in's alignment shallow",
    )
    label_smoothing: Share = Field(
        default=0.0,
        description="share of each refusal token's target that is spread evenly over the vocabulary; utility answers have none",
    )
    prefilled_cross_entropy: bool = Field(default=True, description="false: prefilled examples carry no cross-entropy")
    presto: PrestoConfig | None = None
    kl: KlConfig | None = None
    transition: TransitionConfig | None = None
    save_every: PositiveInt = Field(default=20, description="steps between checkpoints")
    gradient_norms_every: NonNegativeInt = Field(
        default=0,
        description="steps between measurements of each loss part's own gradient norm; 0: never (an extra backward pass a part)",
    )
    report_to: list[Literal["tensorboard", "wandb"]] = Field(default=[], description="where metrics go beside metrics.jsonl")
    launch: LaunchConfig = LaunchConfig()

    @model_validator(mode="after")
    def _batches_divide(self) -> "TrainingConfig":
        if self.batch_size % (self.micro_batch_size * self.launch.processes):
            raise ValueError("batch_size must be a multiple of micro_batch_size (times launch.processes)")
        return self

    @property
    def safety_per_step(self) -> int:
        return round(self.batch_size * self.safety_share)
