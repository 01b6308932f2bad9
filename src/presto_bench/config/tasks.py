"""Configs of the utility tasks; torch-free."""

import importlib.util
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from presto_bench.config.judges import Rubric
from presto_bench.config.models import SamplingConfig
from presto_bench.config.parts import Item, Only
from presto_bench.errors import UserError

JUDGED_TOKENS = 256  # of an answer that a grader reads: a partial refusal shows late


class Grader(Rubric):
    """A chat endpoint that grades a task's answers."""

    @property
    def place(self) -> str:
        return f"tasks.{self.name}.grader"


class TaskConfig(Item):
    """What every task has. better: the direction in which a model is more useful."""

    runner: ClassVar[str]
    better: ClassVar[Literal["lower", "higher"]]
    decodes: ClassVar[bool] = False  # whether it generates, and so runs in the model's decode_dtype
    is_rate: ClassVar[bool] = False  # whether each item's value lies in [0, 1]
    only: Only = None

    def judge(self) -> Rubric | None:
        """The chat endpoint that grades its answers, where one does."""
        return None

    @property
    def sources(self) -> list[str]:
        """Public data sets that the task asks from."""
        return []


class Asking(TaskConfig):
    """A task for which the arm writes answers, asked as the model's entry says but for what stands here."""

    decodes = True
    system: str | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="system prompt instead of the model's; null: the model's",
    )
    thinking: bool | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="reasoning on or off; null: as the model's `chat` says",
    )
    sampling: Literal["model"] | SamplingConfig | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="how answers are decoded; model: as the model's `sampling` says; null: the task's own way",
    )


class AnswerLoss(TaskConfig):
    """Cross-entropy per token on held-out benign answers of the untouched model (nats)."""

    runner = "presto_bench.utility.answer_loss:run"
    better = "lower"
    kind: Literal["answer_loss"]
    split: Literal["test", "dev"] = "test"


class RefusalRate(Asking):
    """Share of benign requests that are refused (over-refusal): held-out ones, or a source's, such as XSTest's safe half.

    With a grader, only a full refusal counts as refused; partial refusals are counted separately. Without a grader, a
    keyword detector decides (docs/howto/grading.md).
    """

    runner = "presto_bench.utility.refusal_rate:run"
    better = "lower"
    kind: Literal["refusal_rate"]
    max_new_tokens: PositiveInt = Field(
        default=32, description=f"of an answer; with a grader {JUDGED_TOKENS}, for it reads the whole"
    )
    source: str | None = Field(default=None, description="xstest or or_bench_hard; null: the held-out benign requests")
    questions: PositiveInt | None = Field(default=None, description="at most so many requests; null takes all")
    prefill_tokens: NonNegativeInt = Field(
        default=0, description="length of a benign prefill: first tokens of the untouched model's own answer"
    )
    history: NonNegativeInt = Field(
        default=0, description="other benign requests with their answers that come first in the conversation"
    )
    grader: dict[str, Any] | None = Field(
        default=None,
        exclude_if=lambda grader: grader is None,
        description="an endpoint that tells full from partial refusals, as a judge of kind rubric: model, base_url, key, request, price …",
    )
    is_rate = True

    @model_validator(mode="before")
    @classmethod
    def _a_grader_reads_whole_answers(cls, entry: Any) -> Any:
        if isinstance(entry, dict) and entry.get("grader") and "max_new_tokens" not in entry:
            return {**entry, "max_new_tokens": JUDGED_TOKENS}
        return entry

    def judge(self) -> Rubric | None:
        return Grader.model_validate({"name": self.name, "kind": "rubric", **self.grader}) if self.grader else None

    @model_validator(mode="after")
    def _grader_is_a_judge(self) -> "RefusalRate":
        self.judge()
        return self

    @model_validator(mode="after")
    def _a_source_has_no_answers(self) -> "RefusalRate":
        if self.source and (self.prefill_tokens or self.history):
            raise ValueError("a public set has no answers to start from or to tell: leave `source` out")
        return self

    @property
    def sources(self) -> list[str]:
        return [self.source] if self.source else []


class MtBench(Asking):
    """MT-Bench: 80 questions of two turns, each answer graded from 1 to 10 by a chat model through an endpoint (arXiv 2306.05685)."""

    runner = "presto_bench.utility.mt_bench:run"
    better = "higher"
    kind: Literal["mt_bench"]
    grader: dict[str, Any] = Field(
        description="an endpoint, as a judge of kind rubric: model, base_url, key, allow_host, request, price …"
    )
    max_new_tokens: PositiveInt = Field(default=1024, description="of an answer; the paper has 2,048 for Qwen 3, which thinks")
    unfinished: Literal["missing", "grade"] = Field(
        default="missing",
        description="an answer whose reasoning came to no end within max_new_tokens: counted as missing, or the reasoning so far is graded (the paper)",
    )
    batch_size: PositiveInt = 16
    questions: PositiveInt | None = Field(default=None, description="at most so many questions; null takes all")

    def judge(self) -> Rubric:
        return Grader.model_validate({"name": self.name, "kind": "rubric", **self.grader})

    @property
    def sources(self) -> list[str]:
        return ["mt_bench", "mt_bench_prompts", "mt_bench_references"]

    @model_validator(mode="after")
    def _grader_is_a_judge(self) -> "MtBench":
        self.judge()
        return self


class LmEval(Asking):
    """A task of EleutherAI's lm_eval, such as gsm8k: `pip install 'presto-bench[lm-eval]'`.

    splits: split -> a source of sources.py, so that the task reads pinned files and not whatever the hub has today.
    """

    runner = "presto_bench.utility.harness:run"
    better = "higher"
    kind: Literal["lm_eval"]
    task: str
    metric: str = "exact_match"
    filter: str = Field(
        default="none", description="of the task's filters, whose metric counts: gsm8k has strict-match and flexible-extract"
    )
    num_fewshot: NonNegativeInt | None = Field(default=None, description="null: the task's own")
    limit: PositiveInt | None = Field(default=None, description="documents; null takes all")
    batch_size: PositiveInt = 16
    max_new_tokens: PositiveInt | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="of an answer; null: the task's own, else lm_eval's 256",
    )
    chat: bool = Field(default=True, description="prompts as a user's turn through the model's template; false: plain text")
    examples_as_turns: bool = Field(
        default=False,
        description="examples as turns of their own, as gsm8k_cot_llama wants them; false: as text in the user's one turn",
    )
    include_path: str | None = Field(default=None, description="folder of task files of your own")
    splits: dict[str, str] = {}

    @model_validator(mode="after")
    def _turns_want_a_template(self) -> "LmEval":
        if self.examples_as_turns and not self.chat:
            raise ValueError("examples_as_turns needs the model's template: leave `chat: false` out")
        return self

    @property
    def sources(self) -> list[str]:
        return list(self.splits.values())

    @model_validator(mode="after")
    def _installed(self) -> "LmEval":
        if importlib.util.find_spec("lm_eval") is None:
            raise UserError(f"tasks.{self.name}", "the package lm_eval is not installed", "pip install 'presto-bench[lm-eval]'")
        return self
