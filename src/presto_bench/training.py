"""The DA objective with its optional terms, on `transformers.Trainer` (method.md sections 3, 4 and 11).

    loss = (CE on refusals + CE on utility answers + PRESTO + KL) / N

N counts, over the whole optimiser step, every token from the first prefill token on for safety examples and every
answer token for utility examples.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peft import LoraConfig as PeftLora
from peft import get_peft_model
from torch.nn import functional as F
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from presto_bench import chat
from presto_bench.config import TrainingConfig
from presto_bench.decoding import left_pad
from presto_bench.forward import logits_only_at
from presto_bench.presto import Spans, presto_sum

IGNORED = -100


@dataclass(frozen=True)
class Example:
    """One training row. supervised: whether its response carries cross-entropy; counted: its share of N (tokens)."""

    prompt_id: str
    encoded: chat.Encoded
    supervised: bool
    counted: int


def build_examples(
    augmented: pd.DataFrame,
    prompts: Mapping[str, str],
    triples: Mapping[str, tuple[str, str]],
    utility: Mapping[str, str],
    tokenizer: Any,
    chat_format: chat.ChatFormat,
    config: TrainingConfig,
) -> list[Example]:
    """Rows of `augmented` as token ids. triples: prompt_id -> (harmful, refusal); utility: prompt_id -> answer."""
    end = [tokenizer.eos_token_id]
    rows = augmented.sort_values("order")
    return [
        _safety(prompt_id, prompts[prompt_id], *triples[prompt_id], int(length), tokenizer, chat_format, end, config)
        if prompt_id in triples
        else _utility(prompt_id, prompts[prompt_id], utility[prompt_id], tokenizer, chat_format, end, config)
        for prompt_id, length in zip(rows["prompt_id"], rows["prefill_tokens"], strict=True)
    ]


def _safety(prompt_id, prompt, harmful, refusal, length, tokenizer, chat_format, end, config) -> Example:
    harmful_ids = chat.encode_text(tokenizer, harmful)
    prefill, rest = harmful_ids[:length], harmful_ids[length:]
    continues = prefill and config.after_prefill == "continue"
    response = (rest if continues else chat.encode_text(tokenizer, refusal)) + end
    encoded = _cut(chat.encode(tokenizer, prompt, chat_format, prefill, response), config.max_tokens)
    supervised = config.prefilled_cross_entropy or not prefill
    return Example(prompt_id, encoded, supervised, len(encoded.ids) - encoded.prefill_start)


def _utility(prompt_id, prompt, answer, tokenizer, chat_format, end, config) -> Example:
    response = chat.encode_text(tokenizer, answer) + end
    encoded = _cut(chat.encode(tokenizer, prompt, chat_format, "", response), config.max_tokens)
    return Example(prompt_id, encoded, True, len(encoded.response_ids))


def _cut(encoded: chat.Encoded, longest: int) -> chat.Encoded:
    return chat.Encoded(encoded.ids[:longest], encoded.prefill_start, encoded.response_start)


def collate(examples: Sequence[Example], pad: int) -> dict[str, torch.Tensor]:
    """Right-padded batch with spans; labels only where there is cross-entropy."""
    width = max(len(example.encoded.ids) for example in examples)
    ids = torch.full((len(examples), width), pad, dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    for i, example in enumerate(examples):
        row = torch.tensor(example.encoded.ids)
        ids[i, : len(row)] = row
        if example.supervised:
            labels[i, example.encoded.response_start : len(row)] = row[example.encoded.response_start :]
    return {
        "input_ids": ids,
        "labels": labels,
        "prefill_start": torch.tensor([e.encoded.prefill_start for e in examples]),
        "prefill_end": torch.tensor([e.encoded.response_start for e in examples]),
        "end": torch.tensor([len(e.encoded.ids) for e in examples]),
        "counted": torch.tensor([e.counted for e in examples]),
    }


def cross_entropy_sum(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum of cross-entropy (nats) of logits (n, V) for target ids (n,), in float32 or better."""
    accumulate = torch.promote_types(logits.dtype, torch.float32)
    return F.cross_entropy(logits.to(accumulate), targets, reduction="sum")


def first_token_kl_sum(logits: torch.Tensor, base_first: torch.Tensor) -> torch.Tensor:
    """Sum over examples of KL(base's first-token distribution ‖ the distribution right after the prefill), in nats.

    logits (n, V) of the arm; base_first (n, V) log-probabilities of the base given the bare prompt (method.md section 11).
    """
    accumulate = torch.promote_types(logits.dtype, torch.float32)
    after = logits.to(accumulate).log_softmax(-1)
    return F.kl_div(after, base_first.to(accumulate), reduction="sum", log_target=True)


class ObjectiveTrainer(Trainer):
    """transformers.Trainer with the objective above; the collator brings what the KL term needs."""

    def __init__(self, *args: Any, objective: TrainingConfig, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.objective = objective
        self.model_accepts_loss_kwargs = True  # the loss is normalised over the step already
        self.parts: dict[str, float] = {}

    def _get_train_sampler(self, *args: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], torch.Tensor]:
        batches, _ = super().get_batch_samples(*args, **kwargs)
        return batches, sum(batch["counted"].sum() for batch in batches)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        spans = Spans(inputs["prefill_start"], inputs["prefill_end"], inputs["end"])
        presto = self.objective.presto if bool(spans.prefilled.any()) else None
        targets = F.pad(inputs["labels"][:, 1:], (0, 1), value=IGNORED)  # position t predicts token t + 1
        after_prefill = self._after_prefill(spans, targets)
        wanted = (targets != IGNORED) | after_prefill
        with logits_only_at(self.accelerator.unwrap_model(model), wanted):
            outputs = model(
                # No mask: with right padding, causality alone is exact for real tokens, and no row is fully masked.
                input_ids=inputs["input_ids"],
                output_attentions=presto is not None,
                use_cache=False,
            )
        labelled = targets[wanted] != IGNORED
        parts = {"cross_entropy": cross_entropy_sum(outputs.logits[labelled], targets[wanted][labelled])}
        if presto is not None:
            parts["presto"] = presto_sum(outputs.attentions, spans, presto)
        if after_prefill.any():
            kl = first_token_kl_sum(outputs.logits[after_prefill[wanted]], inputs["base_first"][spans.prefilled])
            parts["kl"] = self.objective.kl.weight * kl
        for name, part in parts.items():
            self.parts[name] = self.parts.get(name, 0.0) + float(part.detach() / num_items_in_batch)
        loss = sum(parts.values()) / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

    def _after_prefill(self, spans: Spans, like: torch.Tensor) -> torch.Tensor:
        """(B, T) bool: the position that predicts the first token after a prefill, where the KL term wants it."""
        places = torch.zeros_like(like, dtype=torch.bool)
        if self.objective.kl is not None:
            places[spans.prefilled, spans.prefill_end[spans.prefilled] - 1] = True
        return places


class MetricsLog(TrainerCallback):
    """One JSON line a step: the loss's parts, as they are summed, divided by the step's N."""

    def __init__(self, path: Path):
        self.path, self.trainer = path, None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # After a resume, lines behind the checkpoint are from the killed run.
        kept = self.path.read_text().splitlines()[: state.global_step] if self.path.exists() else []
        self.path.write_text("".join(line + "\n" for line in kept))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        with open(self.path, "a") as handle:
            handle.write(json.dumps({"step": state.global_step, **self.trainer.parts}) + "\n")
        self.trainer.parts = {}


class CheckpointSeal(TrainerCallback):
    """Marks a checkpoint as whole: a job killed while it writes one must not go on from half of it."""

    NAME = "complete"

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / self.NAME).touch()

    @classmethod
    def last_whole(cls, work: Path) -> str | None:
        """The latest sealed checkpoint in `work`; unsealed ones are removed."""
        sealed = []
        for folder in work.glob("checkpoint-*"):
            if (folder / cls.NAME).exists():
                sealed.append(folder)
            else:
                shutil.rmtree(folder)
        return str(max(sealed, key=lambda f: int(f.name.split("-")[1]))) if sealed else None


@torch.inference_mode()
def first_token_log_probs(model: Any, rows: Mapping[str, Sequence[int]], batch: int = 16) -> dict[str, torch.Tensor]:
    """prompt_id -> (V,) log-probabilities of the first response token given the bare prompt's ids."""
    found, names = {}, list(rows)
    for start in range(0, len(names), batch):
        part = names[start : start + batch]
        ids, mask = left_pad([rows[name] for name in part], model.device)
        log_probs = model(input_ids=ids, attention_mask=mask, logits_to_keep=1).logits[:, -1].float().log_softmax(-1)
        found |= {name: row.cpu() for name, row in zip(part, log_probs, strict=True)}
    return found


def train(model: Any, tokenizer: Any, examples: Sequence[Example], config: TrainingConfig, seed: int, work: Path) -> Any:
    """The trained model, adapters merged. Checkpoints and metrics.jsonl live in `work`; a run killed there goes on."""
    torch.manual_seed(seed)
    base_first = {}
    if config.kl is not None:
        prompts = {e.prompt_id: e.encoded.prompt_ids for e in examples if e.encoded.prefill_ids}
        base_first = first_token_log_probs(model, prompts)
    # Attention probabilities are only handed out by the eager implementation.
    model.set_attn_implementation("eager" if config.presto is not None else "sdpa")
    if config.method == "lora":
        adapter = PeftLora(
            r=config.lora.r, lora_alpha=config.lora.alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model = get_peft_model(model, adapter)
    log = MetricsLog(work / "metrics.jsonl")
    trainer = ObjectiveTrainer(
        model=model,
        args=_arguments(config, seed, work),
        train_dataset=list(examples),
        data_collator=_Collator(tokenizer.eos_token_id, base_first),
        callbacks=[log, CheckpointSeal()],
        objective=config,
    )
    log.trainer = trainer
    work.mkdir(parents=True, exist_ok=True)
    trainer.train(resume_from_checkpoint=CheckpointSeal.last_whole(work))
    model = trainer.accelerator.unwrap_model(trainer.model)
    return (model.merge_and_unload() if config.method == "lora" else model).eval()


@dataclass(frozen=True)
class _Collator:
    pad: int
    base_first: Mapping[str, torch.Tensor]

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        batch = collate(examples, self.pad)
        if not self.base_first:
            return batch
        nothing = torch.zeros_like(next(iter(self.base_first.values())))
        return {**batch, "base_first": torch.stack([self.base_first.get(e.prompt_id, nothing) for e in examples])}


def _arguments(config: TrainingConfig, seed: int, work: Path) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=config.steps,
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.batch_size // config.micro_batch_size,
        learning_rate=config.lr,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        lr_scheduler_type="linear",
        warmup_steps=0,
        bf16=config.autocast == "bfloat16",
        activation_checkpointing=config.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},  # the other kind drops the term's gradient silently
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        seed=seed,
        full_determinism=False,
        use_cpu=not torch.cuda.is_available(),
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one device a process: DataParallel would split batches behind the spans' back
    return arguments
