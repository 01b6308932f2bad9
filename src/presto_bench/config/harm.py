"""Policy `harm`: real requests and their sources."""

from typing import Any, Literal

from pydantic import Field, PositiveInt

from presto_bench.config.parts import Strict


class WrittenPrefills(Strict):
    """Prefills for requests that have none: a base model goes on with examples (`harm.examples`), greedily, up to a mark; what fails a check is asked for again.

    The paper: Mistral 7B v0.3, 25 examples.
    """

    model: dict[str, Any] = Field(description="a model as in `models`; it needs no chat template")
    end_mark: str = Field(default="[END]", min_length=1)
    max_new_tokens: PositiveInt = 64
    attempts: PositiveInt = Field(
        default=3, description="how often a request is asked for; each time the examples stand in another order"
    )
    shortest: PositiveInt = Field(default=3, description="words")
    longest: PositiveInt = Field(default=40, description="words")
    left_out: bool = Field(
        default=False, description="requests that no attempt gives a usable prefill are left out; else they are an error"
    )
    batch_size: PositiveInt = 16


class HarmConfig(Strict):
    """Policy `harm`: real requests, by the names of their sources (sources.py), and how much of each.

    test: forbidden requests that are attacked. prefills: written for them. safety_prompts: what `generated` triples are about.
    anchor_prompts: benign requests that train; anchors: at most so many. held_out: benign requests that measure, from benign_prompts.
    helper: pairs that teach AutoRAP's helper, so many of them train and validate.
    """

    test: str = "strongreject"
    prefills: str = Field(
        default="push_forward_prefills", description="a source, or `written`: by a model of yours (`written_prefills`)"
    )
    written_prefills: WrittenPrefills | None = Field(default=None, exclude_if=lambda value: value is None)
    examples: str | None = Field(
        default="push_forward_few_shot",
        description="requests that served as examples when the prefills were written: scores come with and without them; null: none did",
    )
    answers: str | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="a source with the column `answer`: a harmful answer to each attacked request, whose text is then measured (ranks, bits, lengths); null: the prefill is measured",
    )
    safety_prompts: str = "push_forward_safety_prompts"
    anchor_prompts: str = "push_forward_utility_prompts"
    benign_prompts: str = "alpaca"
    helper: str = "pku_saferlhf"
    entropies: Literal["hex_phi"] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="requests with harmful answers, behind whose beginnings the next token's entropy is measured (the paper's Figure 7); null: the attacked requests and their prefills",
    )
    requests: PositiveInt | None = Field(default=None, description="at most so many forbidden requests; null takes all")
    triples: PositiveInt | None = Field(default=256, description="at most so many triples")
    anchors: PositiveInt | None = Field(default=20000, description="at most so many benign training requests")
    held_out: PositiveInt = Field(default=200, description="benign requests that no arm has seen")
    helper_train: PositiveInt = 128
    helper_dev: PositiveInt = 32
    harmful_model: dict[str, Any] | None = Field(
        default=None,
        description="a model as in `models` that writes harmful answers for `generated` triples, yours to name, none is suggested; or `{arm: NAME}`, each model's own arm of kind `finetuned`",
    )
    max_new_tokens: PositiveInt = Field(default=512, description="longest answer that a model writes for training")
    ended: bool = Field(default=True, description="own answers that come to no end are left out")
    batch_size: PositiveInt = 32
    engine: Literal["transformers", "vllm"] = Field(
        default="transformers",
        description="what decodes the data that models write; vllm where it is installed, for data of thousands of texts",
    )
