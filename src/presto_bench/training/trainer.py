"""Training an arm: `transformers.Trainer` around the objective, sealed checkpoints, metrics; resumable (docs/explanation/method.md)."""

import importlib.util
import json
import logging
import math
import shutil
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig as PeftLora
from peft import get_peft_model
from transformers import TrainerCallback, TrainingArguments

from presto_bench import progress
from presto_bench.config.training import TrainingConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, precision
from presto_bench.lm.forward import response_log_probs
from presto_bench.lm.reading import left_pad
from presto_bench.training import attention_mass
from presto_bench.training.examples import Example, by_length, collate
from presto_bench.training.objective import ObjectiveTrainer

log = logging.getLogger("presto_bench")


class MetricsLog(TrainerCallback):
    """One JSON line a step: the loss's parts, as they are summed, divided by the step's N."""

    def __init__(self, path: Path):
        self.path = path
        self.trainer: Any = None  # set once the trainer is there, which takes this as it begins

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        # After a resume, lines behind the checkpoint are from the killed run.
        kept = self.path.read_text().splitlines()[: state.global_step] if self.path.exists() else []
        self.path.write_text("".join(line + "\n" for line in kept))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        metrics = self.trainer.step_metrics()
        _require_finite(metrics, state.global_step)
        if args.report_to:
            self.trainer.log(dict(metrics))  # which adds to what it is given
        if not state.is_world_process_zero:
            return
        progress.tell(state.global_step, state.max_steps, "steps")
        with open(self.path, "a") as handle:
            handle.write(json.dumps({"step": state.global_step, **metrics}) + "\n")
        if state.global_step % max(state.max_steps // 10, 1) == 0:
            told = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items() if isinstance(value, float))
            log.info("step %d of %d: %s", state.global_step, state.max_steps, told)


def _require_finite(metrics: Mapping[str, float], step: int) -> None:
    broken = [name for name, value in metrics.items() if not math.isfinite(value)]
    if broken:
        raise UserError(
            f"training, step {step}",
            f"{', '.join(broken)} is not finite: the training has diverged; the last checkpoint before it is kept",
            "lower `lr`, set `max_grad_norm`, or train in float32 or bfloat16 where it ran in float16",
        )


class CheckpointSeal(TrainerCallback):
    """Marks a checkpoint as whole: a job killed while it writes one must not go on from half of it."""

    NAME = "complete"

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / self.NAME).touch()

    @classmethod
    def last_whole(cls, work: Path) -> str | None:
        """The latest sealed checkpoint in `work`; unsealed ones are removed."""
        sealed = []
        for folder in work.glob("checkpoint-*"):
            if (folder / cls.NAME).exists():
                sealed.append(folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)  # several processes come by here
        return str(max(sealed, key=lambda f: int(f.name.split("-")[1]))) if sealed else None


class StopOnTerm(TrainerCallback):
    """SIGTERM (a cluster's time limit): finish the step, save a checkpoint, stop.

    transformers' enable_jit_checkpoint saves without running callbacks, so that its checkpoint would never be sealed.
    """

    def __init__(self) -> None:
        self.asked, self.before = False, None

    def _ask(self, *_: object) -> None:
        self.asked = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._ask)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.world_size > 1:  # all processes must stop at the same step
            asked = torch.tensor([float(self.asked)], device=args.device)
            torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
            self.asked = bool(asked.item())
        if self.asked:
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)
        if self.asked and state.global_step < state.max_steps:
            raise UserError(
                "training",
                f"told to stop (SIGTERM) at step {state.global_step} of {state.max_steps}",
                "run snakemake again: it goes on from the checkpoint of that step",
            )


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


class HeldOutLoss(TrainerCallback):
    """Puts the held-out texts' mean cross-entropy (nats a token) into the metrics' last line: behind the first step, a few times on the way, and at the end."""

    TIMES = 4

    def __init__(self, rows: Sequence[chat.Encoded], pad: int, path: Path):
        self.rows, self.pad, self.path = rows, pad, path

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        every = max(state.max_steps // self.TIMES, 1)
        if state.global_step != 1 and state.global_step % every and state.global_step < state.max_steps:
            return
        model = kwargs["model"]
        model.eval()
        log_probs = response_log_probs(model, self.rows, self.pad)
        model.train()
        lines = self.path.read_text().splitlines()
        whole = json.loads(lines[-1]) | {"validation": -float(torch.cat(log_probs).mean())}
        self.path.write_text("".join(line + "\n" for line in [*lines[:-1], json.dumps(whole)]))


def train(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    config: TrainingConfig,
    seed: int,
    work: Path,
    held_out: Sequence[chat.Encoded] = (),
) -> Any:
    """The trained model, adapters merged, trained in this process. held_out: texts whose loss is measured on the way."""
    trainer = fit(model, tokenizer, examples, config, seed, work, held_out)
    return merged(trainer.accelerator.unwrap_model(trainer.model), config)


def fit(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    config: TrainingConfig,
    seed: int,
    work: Path,
    held_out: Sequence[chat.Encoded] = (),
) -> ObjectiveTrainer:
    """A trainer that has finished. Checkpoints and metrics.jsonl live in `work`; a run killed there goes on."""
    _require_installed(config.report_to)
    torch.manual_seed(seed)
    base_first = {}
    if config.kl is not None:
        prompts = {e.prompt_id: e.encoded.prompt_ids for e in examples if e.encoded.prefill_ids}
        base_first = first_token_log_probs(model, prompts)
    if config.presto is None:
        model.set_attn_implementation("sdpa")
    else:
        attention_mass.switch_on(model, config.presto.attention)
    metrics = MetricsLog(work / "metrics.jsonl")
    watched = [HeldOutLoss(held_out, chat.filler(tokenizer), metrics.path)] if held_out else []
    trainer = ObjectiveTrainer(
        model=adapted(model, config),
        args=_arguments(config, seed, work),
        train_dataset=by_length(examples, config.batch_size),
        data_collator=_Collator(chat.filler(tokenizer), base_first),
        callbacks=[metrics, *watched, CheckpointSeal(), StopOnTerm()],
        objective=config,
    )
    metrics.trainer = trainer
    work.mkdir(parents=True, exist_ok=True)
    trainer.train(resume_from_checkpoint=CheckpointSeal.last_whole(work))
    return trainer


def _require_installed(reporters: Sequence[str]) -> None:
    absent = [name for name in reporters if importlib.util.find_spec(name) is None]
    if absent:
        raise UserError(
            "report_to", f"{', '.join(absent)} is not installed here", f"pip install {' '.join(absent)}, or leave it out"
        )


def adapted(model: Any, config: TrainingConfig) -> Any:
    """`model` with adapters, where only those are trained."""
    if config.method == "full":
        return model
    adapter = PeftLora(
        r=config.lora.r, lora_alpha=config.lora.alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, adapter)


def merged(model: Any, config: TrainingConfig) -> Any:
    """The trained model as one set of weights, all of them numbers."""
    whole = (model.merge_and_unload() if config.method == "lora" else model).eval()
    broken = [name for name, value in whole.named_parameters() if not bool(value.isfinite().all())]
    if broken:
        raise UserError(
            "the trained weights", f"{broken[0]} and {len(broken) - 1} more are not finite: nothing is saved", "lower `lr`"
        )
    return whole


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
        gradient_accumulation_steps=config.batch_size // (config.micro_batch_size * config.launch.processes),
        learning_rate=config.lr,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        lr_scheduler_type="linear",
        warmup_steps=0,
        bf16=precision.note_autocast(config.autocast),
        activation_checkpointing=config.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},  # the other kind drops the term's gradient silently
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        logging_strategy="no",
        report_to=list(config.report_to),
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        seed=seed,
        full_determinism=False,
        use_cpu=not torch.cuda.is_available(),
        **_sharding(config),
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one device a process: DataParallel would split batches behind the spans' back
    return arguments


def _sharding(config: TrainingConfig) -> dict[str, Any]:
    if config.launch.processes == 1 or config.launch.strategy == "ddp":
        return {"ddp_find_unused_parameters": False} if config.launch.processes > 1 else {}
    wrap = {"version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "state_dict_type": "FULL_STATE_DICT"}
    return {"fsdp": True, "fsdp_config": wrap}
