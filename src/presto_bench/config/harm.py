"""Policy `harm`: real requests and their sources."""

from typing import Any, Literal

from pydantic import Field, PositiveInt

from presto_bench.config.parts import Strict


class WrittenPrefills(Strict):
    """Prefills for requests that have none, written by a base model that continues few-shot examples (`harm.examples`).

    Decoding is greedy and stops at `end_mark`. A request whose prefill fails a check is tried again, `attempts` times
    in all. The paper: Mistral 7B v0.3, 25 examples.
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
    """Policy `harm`: names of the sources of real requests (sources.py), and how many rows of each are used.

    test: forbidden requests to attack. prefills: their prefills. safety_prompts: requests of the `generated` triples.
    anchor_prompts: benign training requests, at most `anchors`. held_out: number of benign requests for measurement,
    taken from benign_prompts. helper: source of pairs for AutoRAP's helper; helper_train of them train, helper_dev
    validate.
    """

    test: str = "strongreject"
    prefills: str = Field(
        default="push_forward_prefills", description="a source, or `written`: by a model of yours (`written_prefills`)"
    )
    written_prefills: WrittenPrefills | None = Field(default=None, exclude_if=lambda value: value is None)
    examples: str | None = Field(
        default="push_forward_few_shot",
        description="requests that served as examples for writing the prefills; scores come with and without them; null: none",
    )
    answers: str | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="source with a column `answer`: a harmful answer to each attacked request, used to measure ranks, bits and "
        "lengths; null: these are measured on the prefill",
    )
    safety_prompts: str = "push_forward_safety_prompts"
    anchor_prompts: str = "push_forward_utility_prompts"
    benign_prompts: str = "alpaca"
    helper: str = "pku_saferlhf"
    entropies: Literal["hex_phi"] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="source of requests with harmful answers; next-token entropy is measured after the beginnings of these "
        "answers (the paper's Figure 7); null: after the prefills of the attacked requests",
    )
    requests: PositiveInt | None = Field(default=None, description="at most so many forbidden requests; null takes all")
    triples: PositiveInt | None = Field(default=256, description="at most so many triples")
    anchors: PositiveInt | None = Field(default=20000, description="at most so many benign training requests")
    held_out: PositiveInt = Field(default=200, description="benign requests that no arm has seen")
    helper_train: PositiveInt = 128
    helper_dev: PositiveInt = 32
    harmful_model: dict[str, Any] | None = Field(
        default=None,
        description="writer of the harmful answers of `generated` triples: a model as in `models` (there is no default), or "
        "`{arm: NAME}` for each model's own arm of kind `finetuned`",
    )
    max_new_tokens: PositiveInt = Field(default=512, description="longest answer that a model writes for training")
    ended: bool = Field(default=True, description="own answers that come to no end are left out")
    batch_size: PositiveInt = 32
    engine: Literal["transformers", "vllm"] = Field(
        default="transformers",
        description="what decodes the data that models write; vllm where it is installed, for data of thousands of texts",
    )
