"""Any task of EleutherAI's lm_eval (an optional extra) on an arm, prompts through our own path from request to token ids."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from presto_bench import tables
from presto_bench.config.tasks import LmEval
from presto_bench.errors import UserError
from presto_bench.lm import chat
from presto_bench.utility.base import Measured, Question, Setting

READERS = {"parquet": "parquet", "csv": "csv", "json": "json", "jsonl": "json"}  # what `datasets` calls them


class OurModel(HFLM):
    """An arm as lm_eval sees it: its prompts are rendered as everywhere here, thinking switch and system prompt included."""

    def __init__(self, setting: Setting, batch_size: int, templated: bool):
        super().__init__(pretrained=setting.model, tokenizer=setting.tokenizer, batch_size=batch_size)
        self.setting, self.templated = setting, templated

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """One user's turn: few-shot examples stand in it as text. Tasks that open the assistant's turn themselves have no place here."""
        if len(chat_history) != 1 or chat_history[0]["role"] != "user" or not add_generation_prompt:
            raise UserError(
                "tasks",
                "this lm_eval task wants more than one user's turn",
                "set `chat: false` to give it plain text, or leave it out",
            )
        return chat.render_prompt(self.setting.tokenizer, chat_history[0]["content"], self.setting.chat_format)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **others: Any) -> list[int]:
        """A rendered template brings its own special tokens: none is added a second time. Plain text gets what lm_eval gives it."""
        if self.templated and add_special_tokens is None:
            add_special_tokens = False
        return super().tok_encode(string, add_special_tokens=add_special_tokens, **others)


def run(config: LmEval, questions: Sequence[Question], setting: Setting) -> list[Measured]:
    """The metric of each of the task's own documents. The held-out requests are not its."""
    wanted = {"task": config.task, **_pinned(config.splits, setting.files)}
    found = simple_evaluate(
        model=OurModel(setting, config.batch_size, config.chat),
        tasks=[wanted if config.splits else config.task],
        num_fewshot=config.num_fewshot,
        limit=config.limit,
        apply_chat_template=config.chat,
        fewshot_as_multiturn=False,
        task_manager=_known_tasks(config.include_path),
        bootstrap_iters=0,  # intervals are ours
    )
    rows = [row for row in found["samples"][config.task] if row["filter"] == config.filter]
    if not rows or config.metric not in rows[0]:
        filters = sorted({row["filter"] for row in found["samples"][config.task]})
        raise UserError(
            f"tasks.{config.name}.metric",
            f"{config.task} gives no {config.metric!r} behind the filter {config.filter!r}",
            f"its filters are {', '.join(filters)}; `lm_eval --tasks list` and its YAML name the metrics",
        )
    return [
        Measured(tables.prompt_id(f"{config.task} {row['doc_id']} {row['doc_hash']}"), float(row[config.metric]))
        for row in rows
    ]


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
