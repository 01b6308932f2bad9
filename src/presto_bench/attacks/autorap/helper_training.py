"""Teaching AutoRAP's helper (attacks/helper.py): `transformers.Trainer` on the label at each row's last token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import LoraConfig as PeftLora
from peft import get_peft_model
from torch.nn import functional as F
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from presto_bench.attacks.autorap.helper import collate, last_scores, probabilities
from presto_bench.config.helper import HelperConfig
from presto_bench.lm import precision


class LastTokenTrainer(Trainer):
    """Cross-entropy of the head's two logits at each row's last token. losses: of each step. in_order: rows as they come, and not shuffled."""

    def __init__(self, *args: Any, in_order: bool, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.in_order, self.losses = in_order, list[float]()

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        data: Any = self.train_dataset
        return SequentialSampler(data) if self.in_order else super()._get_train_sampler(train_dataset)

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None):
        with self.accelerator.autocast():  # the trainer's own stands around the whole model's forward, which is not called
            scores = last_scores(self.accelerator.unwrap_model(model), inputs["input_ids"], inputs["last"])
        loss = F.cross_entropy(scores.float(), inputs["labels"])
        self.losses.append(float(loss.detach()))
        return (loss, scores) if return_outputs else loss


@dataclass(frozen=True)
class Rows:
    """Lessons as the helper reads them: ids (n rows), and whether each is harmful at its last token."""

    ids: Sequence[Sequence[int]]
    harmful: Sequence[bool]

    def loss(self, model: Any, pad: int) -> float:
        """Mean binary cross-entropy in nats."""
        said = torch.tensor(probabilities(model, self.ids, pad)).double().clamp(1e-12, 1 - 1e-12)
        return float(F.binary_cross_entropy(said, torch.tensor(self.harmful, dtype=torch.float64)))


@dataclass
class Validation(TrainerCallback):
    """The loss on the rows of each epoch, at its end. rows: of the epochs, in order; every: optimiser steps of one."""

    rows: Sequence[Rows]
    every: int
    pad: int
    losses: dict[int, float] = field(default_factory=dict)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        epoch, rest = divmod(state.global_step, self.every)
        if rest or epoch > len(self.rows):
            return
        model.eval()
        self.losses[state.global_step] = self.rows[epoch - 1].loss(model, self.pad)
        model.train()


@dataclass(frozen=True)
class Taught:
    """The trained model; each step's training loss, and validation losses by the step behind which they were measured."""

    model: Any
    losses: list[float]
    validation: dict[int, float]


def train(
    model: Any, rows: Rows, config: HelperConfig, seed: int, pad: int, validation: Sequence[Rows] = (), every: int = 1
) -> Taught:
    """`model` (a classifier with two labels), trained on the label at each row's last token in their order; adapters merged.

    validation: the rows of each epoch of `every` steps, whose loss is measured at its end.
    """
    torch.manual_seed(seed)
    watched = Validation(validation, every, pad)
    data = [{"ids": list(ids), "label": int(label)} for ids, label in zip(rows.ids, rows.harmful, strict=True)]
    with TemporaryDirectory() as scratch:  # nothing is saved, yet the trainer makes the folder
        trainer = LastTokenTrainer(
            adapted(model, config),
            _arguments(config, len(data) // config.batch_size, seed, scratch),
            train_dataset=data,
            data_collator=lambda part: collate(part, pad),
            callbacks=[watched],
            in_order=config.epochs is not None,  # an epoch's lessons are drawn for it
        )
        trainer.train()
    taught: Any = trainer.model
    trained = taught if config.method == "full" else taught.merge_and_unload()
    return Taught(trained.eval(), trainer.losses, watched.losses)


def adapted(model: Any, config: HelperConfig) -> Any:
    """`model` with adapters and a head that is trained whole, where not all of it is trained."""
    if config.method == "full":
        return model
    adapter = PeftLora(
        r=config.lora.r,
        lora_alpha=config.lora.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        exclude_modules=["score"],
        modules_to_save=["score"],
        task_type="SEQ_CLS",
    )
    return get_peft_model(model, adapter)


def _arguments(config: HelperConfig, steps: int, seed: int, folder: str) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.lr,
        lr_scheduler_type="linear",
        bf16=precision.note_autocast(config.autocast),
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
