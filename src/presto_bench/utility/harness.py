"""Any task of EleutherAI's lm_eval (an optional extra) on an arm, prompts through our own path from request to token ids."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import LogitsProcessor, LogitsProcessorList

from presto_bench import tables
from presto_bench.config.models import SamplingConfig
from presto_bench.config.tasks import LmEval
from presto_bench.errors import UserError
from presto_bench.lm import chat, finite
from presto_bench.utility.base import Measured, Question, Setting

READERS = {"parquet": "parquet", "csv": "csv", "json": "json", "jsonl": "json"}  # what `datasets` calls them


class _Finite(LogitsProcessor):
    """Refuses scores that are no numbers, of which generation would pick token 0."""

    def __init__(self, model: Any):
        self.model = model

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return finite.require(scores, self.model)


class OurModel(HFLM):
    """An arm as lm_eval sees it: its prompts are rendered as everywhere here, thinking switch and system prompt included."""

    def __init__(self, setting: Setting, batch_size: int, templated: bool):
        super().__init__(pretrained=setting.model, tokenizer=setting.tokenizer, batch_size=batch_size)
        self.setting, self.templated = setting, templated

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Few-shot examples as text in one user's turn, or as turns of their own, behind the task's description.

        Tasks that open the assistant's turn themselves have no place here.
        """
        described = chat_history[:1] if chat_history[0]["role"] == "system" else []
        turns = chat_history[len(described) :]
        alternating = [message["role"] for message in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"]
        if not alternating or not add_generation_prompt:
            raise UserError(
                "tasks",
                "this lm_eval task does not end with a user's turn",
                "set `chat: false` to give it plain text, or leave it out",
            )
        # lm_eval hands a task's description over as a system prompt; the arms' own system prompt stays.
        texts = [message["content"].strip("\n") for message in [*described, turns[0]]]
        said = ["\n\n".join(texts), *(message["content"] for message in turns[1:])]
        return chat.render_turns(self.setting.tokenizer, said, self.setting.chat_format)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Answers no longer than what the longest prompt leaves of the context: lm_eval would cut prompts instead, at their beginning."""
        longest = max(len(self.tok_encode(request.args[0])) for request in requests)
        room = self.max_length - longest
        if room < 1:
            raise UserError(
                "tasks",
                f"a prompt of {longest} tokens fills the model's context of {self.max_length}",
                "ask with fewer examples (num_fewshot), or leave this model out (`only`)",
            )
        for request in requests:
            context, settings = request.args
            asked = settings.get("max_gen_toks", self.max_gen_toks)
            request.arguments = (context, {**settings, "max_gen_toks": min(asked, room)})
        return super().generate_until(requests, disable_tqdm)

    def _model_call(self, *args: Any, **others: Any) -> Any:
        """Logits of lm_eval's own forward passes: of NaN it would pick the first option."""
        return finite.require(super()._model_call(*args, **others), self.setting.model)

    def _model_generate(self, *args: Any, **others: Any) -> Any:
        return super()._model_generate(*args, logits_processor=LogitsProcessorList([_Finite(self.setting.model)]), **others)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **others: Any) -> list[int]:
        """A rendered template brings its own special tokens: none is added a second time. Plain text gets what lm_eval gives it."""
        if self.templated and add_special_tokens is None:
            add_special_tokens = False
        return super().tok_encode(string, add_special_tokens=add_special_tokens, **others)


def run(config: LmEval, questions: Sequence[Question], setting: Setting) -> list[Measured]:
    """The metric of each of the task's own documents, or of all tasks of a group. The held-out requests are not its."""
    if config.splits and config.task in _known_tasks(config.include_path).all_groups:
        raise UserError(
            f"tasks.{config.name}.splits",
            f"{config.task} is a group of tasks, which do not share their files",
            "leave `splits` out, or name one of its tasks",
        )
    _require_numbers(config, _evaluated(config, setting, 1))  # before an hour of the whole
    samples = _evaluated(config, setting, config.limit)
    return [
        Measured(
            tables.prompt_id(f"{task} {row['doc_id']} {row['doc_hash']}"),
            float(row[config.metric]),
            category=task if len(samples) > 1 else "all",
        )
        for task, row in _rows(config, samples)
    ]


def _evaluated(config: LmEval, setting: Setting, limit: int | None) -> Mapping[str, Any]:
    with TemporaryDirectory() as folder:
        return _evaluate(config, setting, limit, _spec(config, setting, Path(folder)))


def _spec(config: LmEval, setting: Setting, folder: Path) -> str:
    """The task by name; or, where its splits are pinned, a task file in `folder` that includes the registered one."""
    if not config.splits:
        return config.task
    entry = _known_tasks(config.include_path).task_index.get(config.task)
    if entry is None or entry.yaml_path is None:
        raise UserError(
            f"tasks.{config.name}.task", f"lm_eval has no task {config.task!r}", "`lm_eval --tasks list` names them"
        )
    path = folder / f"{config.task}.yaml"
    pinned = {"include": str(entry.yaml_path), "task": config.task, **_pinned(config.splits, setting.files)}
    path.write_text(yaml.safe_dump(pinned))
    return str(path)


def _evaluate(config: LmEval, setting: Setting, limit: int | None, spec: str) -> Mapping[str, Any]:
    return simple_evaluate(
        model=OurModel(setting, config.batch_size, config.chat),
        tasks=[spec],
        num_fewshot=config.num_fewshot,
        limit=limit,
        apply_chat_template=config.chat,
        fewshot_as_multiturn=config.examples_as_turns,
        gen_kwargs=_decoding(config, setting.sampling) or None,
        task_manager=_known_tasks(config.include_path),
        bootstrap_iters=0,  # intervals are ours
    )["samples"]


def _decoding(config: LmEval, sampling: SamplingConfig | None) -> dict[str, Any]:
    """What `generate` is given instead of the task's own settings."""
    longest = {} if config.max_new_tokens is None else {"max_gen_toks": config.max_new_tokens}
    if sampling is None:
        return longest
    if sampling.temperature == 0:
        return {**longest, "do_sample": False}
    return {**longest, "do_sample": True, **sampling.model_dump()}


def _rows(config: LmEval, samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, Mapping[str, Any]]]:
    """(task, document) behind the config's filter; a group's samples are those of its tasks."""
    return [(task, row) for task, rows in samples.items() for row in rows if row["filter"] == config.filter]


def _require_numbers(config: LmEval, samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Of a document of each task: whether the filter and the metric are there, and the metric is a number."""
    rows = _rows(config, samples)
    for task, row in rows:
        value = row.get(config.metric)
        if _is_number(value):
            continue
        known = sorted(name for name in row if _is_number(row[name]) and name != "doc_id")
        told = "is not there" if value is None else f"is a {type(value).__name__} for each document, and no number"
        raise UserError(
            f"tasks.{config.name}.metric",
            f"the metric {config.metric!r} of {task} {told}",
            f"its metrics that are numbers: {', '.join(known) or 'none'}",
        )
    if {task for task, _ in rows} != set(samples):
        filters = sorted({row["filter"] for found in samples.values() for row in found})
        raise UserError(
            f"tasks.{config.name}.filter",
            f"{', '.join(sorted(set(samples) - {task for task, _ in rows}))} gives nothing behind the filter {config.filter!r}",
            f"its filters are {', '.join(filters)}; `lm_eval --tasks list` and its YAML name them",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | np.number) and bool(np.isfinite(value))


@cache
def _known_tasks(include_path: str | None) -> TaskManager:
    """lm_eval's own tasks and those of a folder: it reads some ten thousand files for that."""
    return TaskManager(include_path=include_path)


def _pinned(splits: Mapping[str, str], files: Mapping[str, Path]) -> dict[str, Any]:
    """What a task's config says of its data, when splits come from files that were fetched and checked here."""
    if not splits:
        return {}
    paths = {split: str(files[source].resolve()) for split, source in splits.items()}
    ending = next(iter(files.values())).suffix.lstrip(".")
    return {"dataset_path": READERS[ending], "dataset_name": None, "dataset_kwargs": {"data_files": paths}}
