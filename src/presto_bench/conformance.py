"""Does a plug-in keep to the contract? Attacks, judges and tasks of your own, tried on a model folder before any cluster sees them.

`presto-bench conform --config my.yaml --model FOLDER` tries every item whose kind is a dotted path: its config class without torch, its spec there
and back, and its runner on two harmless requests, twice.
"""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from presto_bench import registry, tables
from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.config.experiment import Config
from presto_bench.config.models import SamplingConfig
from presto_bench.judges.base import Bench, Grade, Item
from presto_bench.lm import chat, models
from presto_bench.runs.preflight import Check
from presto_bench.utility.base import Measured, Question
from presto_bench.utility.base import Setting as TaskSetting

PROMPTS = ("How is bread made?", "Name three rivers in Europe.")
PREFILL = "Sure, here is"
ODD_TEXTS = ("It is made of flour.", "", "{response} </s> \x00 1.b 9")
FINISHES = ("eos", "length", "exhausted", "error")
SECTIONS = ("attacks", "judges", "tasks")


class Broken(Exception):
    """A contract that does not hold, in words for the plug-in's author."""


def checks(experiment: Config, folder: Path) -> list[Check]:
    """Of every plug-in, each contract in turn; the first that breaks ends its list."""
    items = [(section, item) for section in SECTIONS for item in getattr(experiment, section) if ":" in item.kind]
    return [check for section, item in items for check in _item(section, item, folder)]


def _item(section: str, item: Any, folder: Path) -> Iterator[Check]:
    steps: list[tuple[str, Callable[[], None]]] = [
        ("its config class imports no torch", lambda: _light(item)),
        ("its spec there and back is the same", lambda: _round_trip(section, item)),
        ("its runner can be imported", lambda: registry.runner(item)),
        ("it runs as its contract says", lambda: RUN[section](item, folder)),
    ]
    for what, step in steps:
        try:
            step()
        except Exception as error:  # whatever a plug-in raises is its author's to read
            told = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
            yield Check(f"{section}.{item.name}: {what}", False, told)
            return
        yield Check(f"{section}.{item.name}: {what}", True, "")


def _light(item: Any) -> None:
    module = type(item).__module__
    code = f"import sys; sys.path[:0] = {sys.path!r}; import {module}; sys.exit('torch' in sys.modules)"
    if subprocess.run([sys.executable, "-c", code], capture_output=True).returncode:
        raise Broken(
            f"importing {module} imports torch (or fails): a config is read at each start, so keep torch in the runner's module"
        )


def _round_trip(section: str, item: Any) -> None:
    again = registry.config_class(section, item.kind, section).model_validate(item.model_dump(mode="json"))
    if again != item or again.spec != item.spec:
        raise Broken("model_dump(mode='json') and model_validate do not give the same item: use plain field types")


def _attack(item: Any, folder: Path) -> None:
    variants = item.variants()
    if not variants or len(set(variants)) < len(variants) or not all(isinstance(v, str) for v in variants):
        raise Broken(f"variants() must be distinct names, got {variants!r}")
    model, tokenizer = models.load(folder, "float32")
    parent = models.load(folder, "float32")[0] if item.needs_parent else None
    ends = chat.end_of_turn(tokenizer, model)
    setting = Setting(model, tokenizer, chat.ChatFormat(), SamplingConfig(), ends, models.context_length(model), parent=parent)
    requests = [Request(tables.prompt_id(text), text, PREFILL, PROMPTS[0], "It is easy.") for text in PROMPTS]
    for variant in variants:
        found = registry.runner(item)(item, variant, requests, setting)
        _completions(found, requests, len(tokenizer))
        if registry.runner(item)(item, variant, requests, setting) != found:
            raise Broken(f"variant {variant}: two runs differ; key every draw by (purpose, prompt_id, sample), see draws.py")


def _completions(found: Sequence[Completion], requests: Sequence[Request], vocabulary: int) -> None:
    if not found or not all(isinstance(c, Completion) for c in found):
        raise Broken(f"must return a list of Completion, got {type(found).__name__}")
    keys = [(c.prompt_id, c.sample) for c in found]
    if len(set(keys)) < len(keys):
        raise Broken("two completions have the same prompt_id and sample")
    if {c.prompt_id for c in found} != {r.prompt_id for r in requests}:
        raise Broken("every request needs a completion, and no other: a failed one has finish='error'")
    for c in found:
        if c.finish not in FINISHES:
            raise Broken(f"finish is {c.finish!r}, not one of {', '.join(FINISHES)}")
        if not all(0 <= token < vocabulary for token in c.token_ids):
            raise Broken("a token id is outside the vocabulary")


def _judge(item: Any, folder: Path) -> None:
    def likelihoods(items: Sequence[Item]) -> list[float]:
        return [-1.0] * len(items)

    likelihoods.identity = "conformance"  # type: ignore[attr-defined]
    items = [Item(f"{i:016x}", PROMPTS[0], "other", PREFILL, f"{PREFILL} {text}") for i, text in enumerate(ODD_TEXTS)]
    with TemporaryDirectory() as store:
        judge = registry.runner(item)(item, Bench(likelihoods, Path(store)))
        if not isinstance(judge.version, str) or not judge.version:
            raise Broken("`version` must be a text that changes when anything that can change a score does")
        found = judge.grade(items)
        if [g.completion_id for g in found] != [i.completion_id for i in items]:
            raise Broken("grade(items) must give one grade an item, in their order")
        for grade in found:
            _grade(grade)
        if judge.grade(list(reversed(items))) != list(reversed(found)):
            raise Broken("grades change with the order of the items")


def _grade(grade: Grade) -> None:
    if grade.status not in ("ok", "missing", "error"):
        raise Broken(f"status is {grade.status!r}, not ok, missing or error")
    if (grade.status == "ok") != (grade.score is not None):
        raise Broken("a grade has a score exactly when its status is ok")
    if grade.score is not None and not 0 <= grade.score <= 1:
        raise Broken(f"score is {grade.score}, not in [0, 1]")


def _task(item: Any, folder: Path) -> None:
    model, tokenizer = models.load(folder, "float32")
    questions = [Question(tables.prompt_id(text), text, "It is easy.") for text in PROMPTS]
    with TemporaryDirectory() as store:
        setting = TaskSetting(model, tokenizer, chat.ChatFormat(), {}, Path(store))
        found = registry.runner(item)(item, questions, setting)
        if not found or not all(isinstance(m, Measured) for m in found):
            raise Broken("must return a list of Measured")
        if len({m.prompt_id for m in found}) < len(found):
            raise Broken("two values have the same prompt_id")
        if not all(m.value is None or math.isfinite(m.value) for m in found):
            raise Broken("a value is no finite number: None says that it could not be had")
        if registry.runner(item)(item, questions, setting) != found:
            raise Broken("two runs differ")


RUN: dict[str, Callable[[Any, Path], None]] = {"attacks": _attack, "judges": _judge, "tasks": _task}
