"""The DA objective with its optional terms, as a transformers Trainer (docs/explanation/method.md).

    loss = (CE on refusals + CE on utility answers + PRESTO + KL + transitions) / N

N counts, over the whole optimiser step and all processes, every answer token of utility examples, and of safety examples
every token from the first prefill token on (`normalise_by: from_prefill`, the public code) or those with a label alone
(`labelled`, the paper). PRESTO's own denominator is N, or with `normalisation: equation` the step's penalised examples.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.data import SequentialSampler
from transformers import Trainer

from presto_bench.config.training import TrainingConfig
from presto_bench.lm.forward import logits_only_at
from presto_bench.training import attention_mass
from presto_bench.training.examples import IGNORED
from presto_bench.training.presto import Spans, presto_sum


def cross_entropy_sum(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum of cross-entropy (nats) of logits (n, V) for target ids (n,), in float32 or better."""
    accumulate = torch.promote_types(logits.dtype, torch.float32)
    return F.cross_entropy(logits.to(accumulate), targets, reduction="sum")


def smoothed_cross_entropy_sum(logits: torch.Tensor, targets: torch.Tensor, smoothing: torch.Tensor) -> torch.Tensor:
    """The same against targets that give a share `smoothing` (n,) evenly to the whole vocabulary (Szegedy et al. 2016, section 7)."""
    accumulate = torch.promote_types(logits.dtype, torch.float32)
    log_probs = logits.to(accumulate).log_softmax(-1)
    own = -log_probs.gather(-1, targets[:, None])[:, 0]
    return ((1 - smoothing) * own - smoothing * log_probs.mean(-1)).sum()


def first_token_kl_sum(logits: torch.Tensor, base_first: torch.Tensor) -> torch.Tensor:
    """Sum over examples of KL(base's first-token distribution ‖ the distribution right after the prefill), in nats.

    logits (n, V) of the arm; base_first (n, V) log-probabilities of the base given the bare prompt (docs/explanation/method.md).
    """
    accumulate = torch.promote_types(logits.dtype, torch.float32)
    after = logits.to(accumulate).log_softmax(-1)
    return F.kl_div(after, base_first.to(accumulate), reduction="sum", log_target=True)


class ObjectiveTrainer(Trainer):
    """transformers.Trainer with the objective above; the collator brings what the KL term needs."""

    model: Any  # the trainer's own annotation allows for none

    def __init__(self, *args: Any, objective: TrainingConfig, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.objective = objective
        self.model_accepts_loss_kwargs = True  # the loss is normalised over the step already
        self.layers = self.model.config.get_text_config().num_hidden_layers
        optional = ("presto", "kl", "transition")
        self.part_names = ["cross_entropy", *(name for name in optional if getattr(objective, name) is not None)]
        self.parts = dict.fromkeys(self.part_names, 0.0)
        self.gradients: dict[str, list[torch.Tensor]] = {}
        self.gradient_norm = 0.0
        self.step_penalised = torch.ones(())

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        data: Any = self.train_dataset
        return SequentialSampler(data)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], torch.Tensor]:
        batches, _ = super().get_batch_samples(*args, **kwargs)
        own = torch.stack([torch.stack([batch["counted"].sum(), _penalised(batch).sum()]) for batch in batches]).sum(0)
        every: Any = self.accelerator.gather(own.to(self.args.device)[None])
        tokens, self.step_penalised = every.sum(0).clamp(min=1)
        return batches, tokens

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        parts, outputs = self._parts(model, inputs)
        parts = {name: part / self._denominator(name, num_items_in_batch) for name, part in parts.items()}
        for name, part in parts.items():
            self.parts[name] += float(part.detach())
        if self._measures_gradients():
            self._add_gradients(parts)
        # Processes' gradients are averaged, but N is that of all of them.
        loss = sum(parts.values()) * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _denominator(self, part: str, tokens: torch.Tensor) -> torch.Tensor:
        """What a part's sum over the optimiser step is divided by."""
        presto = self.objective.presto if part == "presto" else None
        return self.step_penalised if presto and presto.normalisation == "equation" else tokens

    def _parts(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], Any]:
        """Each part's sum over one micro-batch."""
        spans = Spans(inputs["key_start"], inputs["key_end"], inputs["query_start"], inputs["query_end"])
        width = inputs["input_ids"].shape[-1]
        presto = self.objective.presto if bool(spans.penalised.any()) else None
        targets = F.pad(inputs["labels"][:, 1:], (0, 1), value=IGNORED)  # position t predicts token t + 1
        after_prefill, in_prefill = self._after_prefill(inputs, targets), self._in_prefill(inputs, targets)
        wanted = (targets != IGNORED) | after_prefill | in_prefill
        with logits_only_at(self.accelerator.unwrap_model(model), wanted):
            # No mask: with right padding, causality alone is exact for real tokens, and no row is fully masked.
            extra = attention_mass.arguments(presto.attention, spans, width) if presto else {}
            outputs = model(input_ids=inputs["input_ids"], use_cache=False, **extra)
        labelled = targets[wanted] != IGNORED
        parts = {"cross_entropy": self._cross_entropy(outputs.logits[labelled], targets, wanted, labelled, inputs)}
        if presto:
            masses = attention_mass.masses(presto.attention, spans, outputs, self.layers)
            parts["presto"] = presto_sum(masses, spans, presto)
        if self.objective.kl and after_prefill.any():
            kl = first_token_kl_sum(outputs.logits[after_prefill[wanted]], inputs["base_first"][_answered(inputs)])
            parts["kl"] = self.objective.kl.weight * kl
        if self.objective.transition and in_prefill.any():
            first = inputs["prefill_end"].clamp(max=width - 1)  # of rows without a response nothing is taken
            refusal = inputs["input_ids"].gather(-1, first[:, None]).expand_as(targets)
            turned = cross_entropy_sum(outputs.logits[in_prefill[wanted]], refusal[in_prefill])
            parts["transition"] = self.objective.transition.weight * turned
        return parts, outputs

    def _cross_entropy(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        wanted: torch.Tensor,
        labelled: torch.Tensor,
        inputs: Mapping[str, torch.Tensor],
    ) -> torch.Tensor:
        chosen = targets[wanted][labelled]
        if not self.objective.label_smoothing:
            return cross_entropy_sum(logits, chosen)
        smoothing = inputs["smoothing"][:, None].expand_as(targets)
        return smoothed_cross_entropy_sum(logits, chosen, smoothing[wanted][labelled])

    def _after_prefill(self, inputs: Mapping[str, torch.Tensor], like: torch.Tensor) -> torch.Tensor:
        """(B, T) bool: the position that predicts the first token after a prefill, where the KL term wants it."""
        places = torch.zeros_like(like, dtype=torch.bool)
        if self.objective.kl is not None:
            answered = _answered(inputs)
            places[answered, inputs["prefill_end"][answered] - 1] = True
        return places

    def _in_prefill(self, inputs: Mapping[str, torch.Tensor], like: torch.Tensor) -> torch.Tensor:
        """(B, T) bool: prefill tokens behind which a refusal might begin, where the transition term wants it. The last one has its own label."""
        places = torch.arange(like.shape[-1], device=like.device)[None, :]
        if self.objective.transition is None:
            return torch.zeros_like(like, dtype=torch.bool)
        inside = (places >= inputs["prefill_start"][:, None]) & (places < inputs["prefill_end"][:, None] - 1)
        return inside & _answered(inputs)[:, None]

    def _clip_grad_norm(self, model: Any) -> torch.Tensor:
        norm: Any = super()._clip_grad_norm(model)
        self.gradient_norm = float(norm)
        return norm

    def _measures_gradients(self) -> bool:
        """Several processes hold averages or shards of gradients: there is no part's own to measure."""
        every = self.objective.gradient_norms_every
        return bool(every) and self.state.global_step % every == 0 and self.accelerator.num_processes == 1

    def _add_gradients(self, parts: Mapping[str, torch.Tensor]) -> None:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        for name, part in parts.items():
            found = torch.autograd.grad(part, trained, retain_graph=True, allow_unused=True)
            found = [torch.zeros_like(p) if g is None else g for p, g in zip(trained, found, strict=True)]
            if name in self.gradients:
                torch._foreach_add_(self.gradients[name], found)
            else:
                self.gradients[name] = list(found)

    def step_metrics(self) -> dict[str, float]:
        """The finished optimiser step: each part over all processes, the whole gradient's norm before clipping, each part's where measured."""
        values = torch.tensor([self.parts[name] for name in self.part_names], device=self.args.device)
        totals: Any = self.accelerator.reduce(values, "sum")
        norms = {f"norm_{name}": float(torch.stack([g.norm() for g in grads]).norm()) for name, grads in self.gradients.items()}
        self.parts, self.gradients = dict.fromkeys(self.part_names, 0.0), {}
        return {**dict(zip(self.part_names, totals.tolist(), strict=True)), "gradient_norm": self.gradient_norm, **norms}


def _penalised(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(B,) bool: examples with keys to look away from."""
    return inputs["key_end"] > inputs["key_start"]


def _answered(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(B,) bool: rows with a prefill whose response was not cut away whole by `max_tokens`."""
    return (inputs["prefill_end"] > inputs["prefill_start"]) & (inputs["prefill_end"] < inputs["end"])
