"""What an experiment needs that this machine or its user does not have yet, each with its remedy: before any job starts, and no network is asked.

Torch-free. `presto-bench preflight` asks the hub and the devices as well.
"""

import importlib.util
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from presto_bench.config import source_names
from presto_bench.config.arms import CheckpointArm
from presto_bench.config.endpoint import ServedConfig
from presto_bench.config.experiment import Config
from presto_bench.config.judges import Rubric, RubricConfig
from presto_bench.config.models import EndpointModel, HubModel, LocalModel
from presto_bench.data import source_files, sources
from presto_bench.errors import UserError
from presto_bench.lm import folders
from presto_bench.policies import shipped
from presto_bench.runs.costs import held_out


@dataclass(frozen=True)
class Missing:
    """One thing and how to get it. key: where the config speaks of it."""

    key: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}\n    remedy: {self.remedy}"


def missing(config: Config) -> list[Missing]:
    """Everything that is known to be missing, in the config's order."""
    return [
        *_acknowledgement(config),
        *_models(config),
        *_answers(config),
        *_sources(config),
        *_harmful_model(config),
        *_engine(config),
        *_keys(config),
        *_templates(config),
        *_samples(config),
    ]


def require_writable(results: Path) -> None:
    """Before the first job: a read-only or full folder would stop each of them with an error of its own."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UserError(
            results,
            f"cannot be written: {error.strerror}",
            "free space, fix its permissions, or remount its file system for writing; finished work is kept",
        ) from error


def _acknowledgement(config: Config) -> list[Missing]:
    published = [name for name in source_names.used(config) if name not in config.source_overrides]
    if config.acknowledge or not any(sources.SOURCES[name].harmful for name in published):
        return []
    what = "this experiment fetches harmful requests and stores what models say to them"
    remedy = "read docs/howto/paper.md, then write `acknowledge: {purpose: …, storage: …}` (an audit: `--acknowledge PURPOSE STORAGE`): what for, and where results are kept; both are recorded"
    return [Missing("acknowledge", what, remedy)]


def _models(config: Config) -> list[Missing]:
    found = []
    for model in config.models:
        folder = Path("results") / config.experiment / "models" / model.name / "untouched/seed0"
        if isinstance(model, HubModel):
            found += _licence(f"models.{model.name}", model, folder)
        if isinstance(model, EndpointModel) and not model.tokenizer.startswith("hub:") and not Path(model.tokenizer).is_dir():
            found.append(Missing(f"models.{model.name}.tokenizer", f"there is no folder {model.tokenizer}", "correct the path"))
        if isinstance(model, LocalModel):
            found += _folder(f"models.{model.name}.path", model.path) or _state(config, model)
    for arm in config.arms:
        if isinstance(arm, CheckpointArm):
            found += _checkpoint(config, arm)
    return found + _helper_model(config)


def _helper_model(config: Config) -> list[Missing]:
    """What AutoRAP's helpers are made from, where that is a model of its own."""
    if not config.helper.model or not any(getattr(attack, "helper", None) for attack in config.attacks):
        return []
    model = config.helper.entry()
    if isinstance(model, HubModel):
        return _licence("helper.model", model, Path("results") / config.experiment / "data/helper_model")
    return _folder("helper.model.path", model.path) if isinstance(model, LocalModel) else []


def _licence(key: str, model: HubModel, folder: Path) -> list[Missing]:
    """A gated model that is not there yet, and nobody whom the hub would know."""
    if not model.gated or folder.is_dir() or _token():
        return []
    remedy = (
        f"accept its licence at https://huggingface.co/{model.id} with your account, then `export HF_TOKEN=…` (a read token)"
    )
    return [Missing(key, f"{model.id} is gated, and no token is set", remedy)]


def _checkpoint(config: Config, arm: CheckpointArm) -> list[Missing]:
    source, of = arm.source("auto"), config.item("models", arm.of)
    if isinstance(source, HubModel):
        return _licence(
            f"arms.{arm.name}", source, Path("results") / config.experiment / "models" / arm.of / arm.name / "seed0"
        )
    found = _folder(f"arms.{arm.name}.path", source.path)
    if found or not isinstance(of, LocalModel) or _folder("", of.path):
        return found
    told = folders.other_family(Path(source.path), Path(of.path))
    return [Missing(f"arms.{arm.name}.of", told, "name its own model there, and add that to `models`")] if told else []


def _state(config: Config, model: LocalModel) -> list[Missing]:
    if not folders.keeps_state(Path(model.path)):
        return []
    return [
        Missing(
            f"attacks.{attack.name}",
            f"it takes tokens back, and {model.name} keeps a running state, from which none can be taken",
            f"leave {attack.name} out for this model (`only: […]` names the models that an attack works on)",
        )
        for attack in config.attacks
        if attack.takes_back and (attack.only is None or model.name in attack.only)
    ]


def _folder(key: str, path: str) -> list[Missing]:
    found = folders.obstacle(Path(path))
    return [Missing(key, f"{path}: {found[0]}", found[1])] if found else []


def _token() -> bool:
    """Whether the hub would know who asks; the token itself is never read into anything of ours."""
    from huggingface_hub import get_token

    return bool(get_token())


def _answers(config: Config) -> list[Missing]:
    """Shipped answers that do not belong to a configured model, or that were edited."""
    if config.policy == "harm" or config.standin.answers.source in ("own", "given"):
        return []
    obstacles = {model.name: shipped.obstacle(model, config.standin.answers) for model in config.models}
    return [
        Missing("standin.answers.source", f"shipped, but for {name}: {obstacle}", shipped.MEND)
        for name, obstacle in obstacles.items()
        if obstacle
    ]


def _sources(config: Config) -> list[Missing]:
    found = []
    for name in source_names.used(config):
        source, override = sources.SOURCES[name], config.source_overrides.get(name)
        if override and not override.startswith(("http://", "https://")) and not Path(override).is_file():
            found.append(Missing(f"source_overrides.{name}", f"there is no file {override}", "correct the path"))
        if override and not source.url and Path(override).suffix.removeprefix(".") not in sources.OWN_ENDINGS:
            endings = ", ".join(f".{ending}" for ending in sources.OWN_ENDINGS)
            found.append(Missing(f"source_overrides.{name}", f"{override} has no known ending", f"one of: {endings}"))
        if source.gated and not override:
            found.append(
                Missing(
                    f"sources.{name}",
                    f"{source.what}: {source_files.barrier(source)}",
                    f"{source.gated}: `source_overrides: {{{name}: FILE}}`",
                )
            )
    return found


def _harmful_model(config: Config) -> list[Missing]:
    if config.policy != "harm" or not source_names.trains(config):
        return []
    asking = [model.name for model in config.models if model.data.triples == source_names.GENERATED]
    if not asking or config.harm.harmful_model:
        return []
    remedy = "name one that you may use: `harm: {harmful_model: {kind: …, …}}`, or take published triples (`data: {triples: …}`) with `refusals: greedy`"
    return [Missing("harm.harmful_model", f"nobody writes the harmful answers for the triples of {', '.join(asking)}", remedy)]


def _engine(config: Config) -> list[Missing]:
    if config.policy != "harm" or config.harm.engine != "vllm" or importlib.util.find_spec("vllm"):
        return []
    return [Missing("harm.engine", "vLLM is not installed", "pip install vllm, or leave `engine: transformers`")]


def _keys(config: Config) -> list[Missing]:
    judges = [judge for judge in config.judges if isinstance(judge, Rubric)]
    judges += [grader for task in config.tasks if (grader := task.judge())]
    endpoints = [(judge.place, judge.key) for judge in judges]
    for section in ("models", "arms"):
        entries = [entry for entry in getattr(config, section) if isinstance(entry, ServedConfig)]
        endpoints += [(f"{section}.{entry.name}", entry.key) for entry in entries]
    return [
        Missing(
            f"{place}.key",
            f"the environment variable {key} is not set",
            f"export {key}=… where snakemake runs",
        )
        for place, key in endpoints
        if key and not os.environ.get(key)
    ]


def _templates(config: Config) -> list[Missing]:
    """Rubric templates of the user's own that cannot be read or hold no rubric."""
    files = {j.place: j.template.path for j in config.judges if isinstance(j, RubricConfig) and j.template.source == "file"}
    if not files:
        return []
    from presto_bench.judges.rubric import Template  # here: most experiments have no file of their own to look at

    found = []
    for place, path in files.items():
        try:
            Template.read(Path(path))
        except UserError as error:
            found.append(Missing(f"{place}.template.path", f"{error.where}: {error.what}", error.mend))
    return found


def _samples(config: Config) -> list[Missing]:
    """Attacks that want more requests than there can be."""
    sampled = [attack for attack in config.attacks if attack.requests and attack.split == "test"]
    if not sampled:
        return []
    there, what = held_out(config)
    return [
        Missing(
            f"attacks.{attack.name}.requests",
            f"{attack.requests}, but there are {there} {what}",
            "ask for fewer, or leave it out",
        )
        for attack in sampled
        if attack.requests > there > 0
    ]
