"""Teaching AutoRAP's helper (attacks/helper.py): `transformers.Trainer` on the label at each row's last token."""

from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import LoraConfig as PeftLora
from peft import get_peft_model
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments

from presto_bench.attacks.autorap.helper import collate, last_scores
from presto_bench.config.helper import HelperConfig
from presto_bench.lm import precision


class LastTokenTrainer(Trainer):
    """Cross-entropy of the head's two logits at each row's last token."""

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None):
        with self.accelerator.autocast():  # the trainer's own stands around the whole model's forward, which is not called
            scores = last_scores(self.accelerator.unwrap_model(model), inputs["input_ids"], inputs["last"])
        loss = F.cross_entropy(scores.float(), inputs["labels"])
        return (loss, scores) if return_outputs else loss


def train(model: Any, rows: Sequence[Sequence[int]], harmful: Sequence[bool], config: HelperConfig, seed: int, pad: int) -> Any:
    """`model` (a classifier with two labels), trained on the label at each row's last token; adapters merged."""
    torch.manual_seed(seed)
    adapter = PeftLora(
        r=config.lora.r,
        lora_alpha=config.lora.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        exclude_modules=["score"],
        modules_to_save=["score"],
        task_type="SEQ_CLS",
    )
    data = [{"ids": list(ids), "label": int(label)} for ids, label in zip(rows, harmful, strict=True)]
    with TemporaryDirectory() as scratch:  # nothing is saved, yet the trainer makes the folder
        trainer = LastTokenTrainer(
            get_peft_model(model, adapter),
            _arguments(config, seed, scratch),
            train_dataset=data,
            data_collator=lambda part: collate(part, pad),
        )
        trainer.train()
    return trainer.model.merge_and_unload().eval()


def _arguments(config: HelperConfig, seed: int, folder: str) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=config.steps,
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
