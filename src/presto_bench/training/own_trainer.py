"""PRESTO in your own trainer: transformers.Trainer, TRL's SFTTrainer, or a subclass of either (docs/explanation/presto.md).

    rows = [row(tokenizer, prompt, response, prefill), …]
    trainer = Trainer(model, args, train_dataset=rows, data_collator=PrefillCollator(tokenizer))
    with presto(trainer, PrestoConfig(weight=1.0)):
        trainer.train()

The term is divided by the trainer's own count of tokens in the optimiser step, as its cross-entropy is.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from presto_bench.config.training import PrestoConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat
from presto_bench.training import attention_mass
from presto_bench.training.examples import IGNORED
from presto_bench.training.presto import Spans, presto_sum

SPANS = ("prefill_start", "prefill_end", "row_end")


def row(
    tokenizer: Any, prompt: str, response: str, prefill: str | list[int] = "", chat_format: chat.ChatFormat | None = None
) -> dict[str, Any]:
    """One training row by the model's chat template: cross-entropy on the response, the prefill's span beside it (tokens)."""
    response_ids = [*chat.encode_text(tokenizer, response), chat.taught_end(tokenizer)]
    encoded = chat.encode(tokenizer, prompt, chat_format or chat.ChatFormat(), prefill, response_ids)
    return {
        "input_ids": list(encoded.ids),
        "labels": [IGNORED] * encoded.response_start + response_ids,
        "prefill_start": encoded.prefill_start,
        "prefill_end": encoded.response_start,
    }


@dataclass(frozen=True)
class PrefillCollator:
    """Right-pads rows of input_ids, labels, prefill_start and prefill_end (equal where a row has no prefill)."""

    tokenizer: Any

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        if any("prefill_start" not in r or "prefill_end" not in r for r in rows):
            raise UserError(
                "the trainer's rows",
                "prefill_start or prefill_end is missing",
                "make rows with presto_bench.own_trainer.row, and set remove_unused_columns=False in the trainer's arguments",
            )
        longest = max(len(r["input_ids"]) for r in rows)
        pad = chat.filler(self.tokenizer)

        def padded(name: str, fill: int) -> torch.Tensor:
            return torch.tensor([list(r[name]) + [fill] * (longest - len(r[name])) for r in rows])

        lengths = [len(r["input_ids"]) for r in rows]
        return {
            "input_ids": padded("input_ids", pad),
            "labels": padded("labels", IGNORED),
            "attention_mask": torch.tensor([[1] * n + [0] * (longest - n) for n in lengths]),
            "prefill_start": torch.tensor([r["prefill_start"] for r in rows]),
            "prefill_end": torch.tensor([r["prefill_end"] for r in rows]),
            "row_end": torch.tensor(lengths),
        }


@dataclass
class Term:
    """values: the term as it was added to each micro-batch's loss."""

    config: PrestoConfig
    values: list[float] = field(default_factory=list)
    _spans: Spans | None = None
    _sum: torch.Tensor | None = None


@contextmanager
def presto(trainer: Any, config: PrestoConfig | None = None) -> Iterator[Term]:
    """Within: every training loss of `trainer` carries the PRESTO term. Its model's attention is put back afterwards."""
    term = Term(config or PrestoConfig())
    if term.config.keys != "prefill":
        raise UserError(
            "presto.keys", f"{term.config.keys} is a control of the workflow's arms", "mark the rows' spans yourself"
        )
    if term.config.normalisation != "reference":
        raise UserError(
            "presto.normalisation",
            "equation divides by the prefilled examples of a whole optimiser step, which another trainer does not count",
            "leave it at `reference`",
        )
    if trainer.args.n_gpu > 1:
        raise UserError(
            "presto(trainer)",
            f"one process for {trainer.args.n_gpu} GPUs splits each batch behind the spans' back",
            "start it with `accelerate launch`, or set CUDA_VISIBLE_DEVICES to one device",
        )
    causal = _causal_model(trainer.model)
    before, plain_loss = causal.config._attn_implementation, trainer.compute_loss
    attention_mass.switch_on(causal, term.config.attention)
    # The backbone is what every trainer calls; TRL computes its loss without the language model's own forward.
    backbone = causal.base_model
    hooks = [
        backbone.register_forward_pre_hook(lambda module, args, kwargs: (args, _asking(term, kwargs)), with_kwargs=True),
        backbone.register_forward_hook(lambda module, args, output: _collect(term, module, output)),
    ]
    trainer.compute_loss = _with_term(trainer, plain_loss, term)
    try:
        yield term
    finally:
        trainer.compute_loss = plain_loss
        for hook in hooks:
            hook.remove()
        causal.set_attn_implementation(before)


def _with_term(trainer: Any, plain_loss: Any, term: Term) -> Any:
    def compute_loss(model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        inputs = dict(inputs)
        marked = [inputs.pop(name, None) for name in SPANS]
        if not model.training:
            return plain_loss(model, inputs, return_outputs, num_items_in_batch)
        if any(column is None for column in marked):
            raise UserError(
                "the trainer's batch",
                f"{', '.join(SPANS)} are missing",
                "use PrefillCollator and set remove_unused_columns=False in the trainer's arguments",
            )
        start, end, stop = marked
        spans = Spans.of_prefills(start, end, stop, term.config.queries)
        term._spans, term._sum = spans, None
        labels = inputs["labels"]  # the trainer may take them out
        result = plain_loss(model, inputs, return_outputs, num_items_in_batch)
        if term._sum is None and bool(spans.penalised.any()):
            raise UserError(
                "presto(trainer)",
                "the trainer trains another model than the one it had when presto() began",
                "give the trainer a model, not a model_init, and enter presto() once the trainer is built",
            )
        loss, rest = (result[0], result[1:]) if return_outputs else (result, ())
        added = _normalised(trainer, term._sum, labels, num_items_in_batch)
        term.values.append(float(added.detach()))
        term._spans = None
        return (loss + added, *rest) if return_outputs else loss + added

    return compute_loss


def _normalised(trainer: Any, total: torch.Tensor | None, labels: torch.Tensor, num_items_in_batch: Any) -> torch.Tensor:
    """The sum on the scale of the trainer's own loss; total is None in a batch without prefills."""
    if total is None:
        return torch.zeros((), device=labels.device)
    if num_items_in_batch is None:
        return total / (labels[:, 1:] != IGNORED).sum().clamp(min=1)
    shared = trainer.accelerator.num_processes if trainer.args.average_tokens_across_devices else 1
    return total / num_items_in_batch * shared


def _asking(term: Term, kwargs: dict[str, Any]) -> dict[str, Any]:
    if term._spans is None or term._sum is not None or not bool(term._spans.penalised.any()):
        return kwargs
    ids = kwargs.get("input_ids")
    width = (kwargs["inputs_embeds"] if ids is None else ids).shape[1]
    return {**kwargs, **attention_mass.arguments(term.config.attention, term._spans, width), "use_cache": False}


def _collect(term: Term, backbone: Any, output: Any) -> None:
    if term._spans is None or term._sum is not None or not bool(term._spans.penalised.any()):
        return
    layers = backbone.config.get_text_config().num_hidden_layers
    masses = attention_mass.masses(term.config.attention, term._spans, output, layers)
    term._sum = presto_sum(masses, term._spans, term.config)
    output.attentions = None  # so that no trainer gathers them as predictions


def _causal_model(model: Any) -> Any:
    """The language model inside peft's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
