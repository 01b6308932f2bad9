"""What an experiment will take: GPU hours and disk, by model and stage, computed from its config; from a pilot's own times where one has run.

Without a pilot the figures rest on the rates below and on `billions` in each model's entry: good to a factor of two or three, for asking for an
allocation. A pilot (`snakemake --config pilot=MODEL`) replaces the rates by what it measured, scaled by work and by model size.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from presto_bench.config.arms import FinetunedArm, SafeDecodingArm, TrainingArm
from presto_bench.config.experiment import Config, is_for
from presto_bench.config.models import ModelConfig
from presto_bench.config.parts import OWN
from presto_bench.config.tasks import MtBench, TaskConfig
from presto_bench.config.training import TrainingConfig
from presto_bench.data import sources
from presto_bench.lm.precision import AUTO, FAST, FULL
from presto_bench.runs.costs import held_out
from presto_bench.runs.pilot import SUFFIX

FLOPS = 1.2e14  # a second and GPU: two fifths of an A100's 312e12 in bf16, a usual training rate
BYTES = 9e11  # a second and GPU, of 1.5e12: one decoding step reads every weight once
LAYERS = 36  # of a model of 7 to 12 billion parameters, about
LATENCY = 0.03  # seconds at least of a decoding step: so many layers of small kernels, one after the other
TEXT = 200  # tokens of a text whose ranks are read, about
LABELS = 3  # helper's forward passes in a step of AutoRAP, about
GENERATED = 256  # tokens of an answer to a task that does not say
MEAN_TOKENS = 0.5  # of max_tokens, what a training example has on average
RECHECK = 4 / 3  # gradient checkpointing computes the forward pass twice
WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}  # bytes a parameter
OPTIMISER = 16  # bytes a parameter in a training checkpoint: weights, gradients' place, two moments
STAGES = ("data", "finetune", "helper", "attack", "ranks", "causal", "utility")


def table(config: Config, results: Path = Path("results")) -> pd.DataFrame:
    """One row a model: hours of one GPU by stage, and GB on disk. Models without `billions` have no row."""
    requests, _ = held_out(config)
    measured = pilot_seconds(config, results)
    rows = []
    for model in config.models:
        if model.billions is None:
            continue
        work = {stage: WORK[stage](config, model, requests) for stage in STAGES}
        seconds = {stage: _scaled(measured, config, model, stage, units) or units[1] for stage, units in work.items()}
        rows.append(
            {
                "model": model.name,
                **{f"{stage}_gpu_hours": s / 3600 for stage, s in seconds.items()},
                "gpu_hours": sum(seconds.values()) / 3600,
            }
            | {"gpu_memory_gb": gpu_memory(config, model), "disk_gb": disk(config, model)}
        )
    columns = ["model", *(f"{stage}_gpu_hours" for stage in STAGES), "gpu_hours", "gpu_memory_gb", "disk_gb"]
    return pd.DataFrame(rows, columns=columns)


Work = tuple[float, float]  # units of work, which a pilot's time is scaled by; and seconds of one GPU by the rates above


def _decoding(model: ModelConfig, batches: float, steps: float, passes: float = 1.0) -> float:
    return batches * steps * passes * max(model.billions * 1e9 * _width(model, model.decode_dtype) / BYTES, LATENCY)


def _width(model: ModelConfig, dtype: str) -> int:
    """Bytes a parameter. `auto` is taken for what it will be where the job runs."""
    return WIDTH[dtype] if dtype != AUTO else WIDTH[FAST if model.resources.gpu else FULL]


def _data(config: Config, model: ModelConfig, requests: int) -> Work:
    if config.policy == "harm":
        own = config.harm.held_out + (config.harm.anchors or 20000 if model.data.anchors == OWN else 0)
        return own, _decoding(model, own / config.harm.batch_size, config.harm.max_new_tokens)
    return 1, _decoding(model, 8, config.standin.answers.max_new_tokens)


def gpus(config: Config, model: ModelConfig) -> int:
    """Of the job that asks for most: training starts one process a GPU."""
    processes = max((training.launch.processes for training in _trainings(config, model)), default=1)
    return max(model.resources.gpu, processes) if model.resources.gpu else 0


def _trainings(config: Config, model: ModelConfig) -> list[TrainingConfig]:
    """Every training of this model, fine-tuning attacks included, once a seed."""
    mine = [arm for arm in config.arms if is_for(arm, model.name)]
    ours = [arm for arm in mine if isinstance(arm, TrainingArm)] * len(config.seeds)
    attacks = [arm.training(arm.kept) for arm in mine if isinstance(arm, FinetunedArm) for _ in config.arm_seeds(arm.name)]
    return [*ours, *attacks]


def _finetune(config: Config, model: ModelConfig, requests: int) -> Work:
    """Units: steps."""
    trainings = _trainings(config, model)
    again = {True: RECHECK, False: 1.0}
    tokens = sum(t.steps * t.batch_size * t.max_tokens * MEAN_TOKENS * again[t.gradient_checkpointing] for t in trainings)
    return sum(t.steps for t in trainings), 6 * model.billions * 1e9 * tokens / FLOPS


def _runs(config: Config, model: ModelConfig) -> int:
    return sum(name == model.name for name, _, _ in config.runs())


def _decoders(config: Config, model: ModelConfig) -> int:
    """Models that decode in all runs together: an arm of two models (blended.py) counts twice."""
    arms = [config.item("arms", arm) for name, arm, _ in config.runs() if name == model.name]
    return sum(2 if isinstance(arm, SafeDecodingArm) else 1 for arm in arms)


def _helper(config: Config, model: ModelConfig, requests: int) -> Work:
    helped = [attack.helper for attack in config.attacks if getattr(attack, "helper", None) and is_for(attack, model.name)]
    count = (_runs(config, model) if any(h.target_arm == OWN for h in helped) else 1) if helped else 0
    own = config.helper
    taught = round((1 - own.validation_share) * own.prompts)
    steps = own.steps if own.epochs is None else own.epochs * -(-taught // own.batch_size)
    billions = (own.model or {}).get("billions") or model.billions
    return count * steps, count * 6 * billions * 1e9 * steps * own.batch_size * 256 / FLOPS


def _attack(config: Config, model: ModelConfig, requests: int) -> Work:
    units = seconds = 0.0
    for attack in config.attacks:
        if not is_for(attack, model.name):
            continue
        steps = attack.longest
        count = _decoders(config, model) * len(attack.variants()) * getattr(attack, "samples", 1)
        passes = 1 + (1 if attack.needs_parent else LABELS if getattr(attack, "helper", None) else 0)
        asked = attack.asked_of(requests)
        units += count * asked
        seconds += _decoding(model, count * -(-asked // attack.batch_size), steps, passes)
        seconds += 2 * model.billions * 1e9 * count * asked * attack.searched / FLOPS
    return units, seconds


def _ranks(config: Config, model: ModelConfig, requests: int) -> Work:
    texts = 5 * requests * _decoders(config, model)
    return texts, 2 * model.billions * 1e9 * texts * TEXT / FLOPS


def _causal(config: Config, model: ModelConfig, requests: int) -> Work:
    """Units: forward passes of one text. Each band of layers is patched in the prefill and two shams: knocked out; the headline's arms also take each other's attention over."""
    passes = 0
    for name, arm, seed in config.runs():
        if name != model.name or not config.causal_runs(name, arm, seed):
            continue
        bands = -(-LAYERS // config.causal.layers_per_band)
        patches = 3 * (2 if arm in config.headline else 1) * (bands + (bands > 1))  # and all layers at once
        passes += 2 * min(config.causal.texts, requests) * (1 + patches)
    return passes, 2 * model.billions * 1e9 * passes * TEXT / FLOPS


def _utility(config: Config, model: ModelConfig, requests: int) -> Work:
    """Units: questions. A task that only reads its answers counts as one step a batch."""
    units = seconds = 0.0
    for task in config.tasks:
        if not is_for(task, model.name):
            continue
        questions = _questions(config, task) * _decoders(config, model)
        steps = (getattr(task, "max_new_tokens", None) or GENERATED) if task.decodes else 1
        units += questions
        seconds += _decoding(model, -(-questions // getattr(task, "batch_size", 64)), steps)
    return units, seconds


def _questions(config: Config, task: TaskConfig) -> int:
    """How many a task asks: its limit, else its source's rows, else the held-out requests; MT-Bench two turns each."""
    rows = sources.SOURCES[task.sources[-1]].rows if task.sources else None
    if isinstance(task, MtBench):
        return 2 * (task.questions or sources.SOURCES["mt_bench"].rows or 0)
    limit = getattr(task, "limit", None) or getattr(task, "questions", None)
    return limit or rows or config.harm.held_out


WORK: dict[str, Callable[[Config, ModelConfig, int], Work]] = {
    "data": _data,
    "finetune": _finetune,
    "helper": _helper,
    "attack": _attack,
    "ranks": _ranks,
    "causal": _causal,
    "utility": _utility,
}
RULES = {
    "data": ("answers", "given_triples", "refusals"),
    "finetune": ("finetune", "finetuning_attack"),
    "helper": ("helper",),
    "attack": ("attack", "composition", "candidates"),
    "ranks": ("ranks",),
    "causal": ("causal",),
    "utility": ("utility",),
}


def gpu_memory(config: Config, model: ModelConfig) -> float:
    """GB of one GPU that the largest job of a model wants, by rule of thumb: weights, gradients and optimiser over its processes, or the models that decode together.

    A tenth is added for activations and caches; batches that are too large are halved by the attacks, and by nothing else.
    """
    decoded = _width(model, model.decode_dtype) * model.billions
    asked = [decoded]
    for training in _trainings(config, model):
        full = OPTIMISER * model.billions / training.launch.processes
        asked.append(full if training.method == "full" else _width(model, model.dtype) * model.billions)
    helper = (config.helper.model or {}).get("billions") or model.billions
    for attack in [attack for attack in config.attacks if is_for(attack, model.name)]:
        asked.append(2 * decoded if attack.needs_parent else decoded)
        if getattr(attack, "helper", None):
            asked.append(decoded + _width(model, model.decode_dtype) * helper)
            asked.append((OPTIMISER if config.helper.method == "full" else WIDTH[FULL]) * helper)
    return 1.1 * max(asked)


def disk(config: Config, model: ModelConfig) -> float:
    """GB: the download, every arm's and helper's weights, and the checkpoint of one training at a time."""
    helped = any(getattr(attack, "helper", None) and is_for(attack, model.name) for attack in config.attacks)
    folders = 1 + len(_trainings(config, model))
    helpers = _runs(config, model) * (config.helper.model or {}).get("billions", model.billions) if helped else 0.0
    return model.billions * (2 + folders * _width(model, model.dtype) + OPTIMISER) + helpers * _width(model, model.dtype)


def pilot_seconds(config: Config, results: Path) -> dict[str, float]:
    """stage -> seconds of one GPU that all jobs of the pilot's model took together; empty where none has run."""
    folder, model = results / f"{config.experiment}{SUFFIX}" / "benchmarks", _piloted(config)
    found = {}
    for stage, rules in RULES.items():
        files = [path for rule in rules for path in (folder / rule).rglob("*.tsv") if model.name in (*path.parts, path.stem)]
        if files:
            side_by_side = max(gpus(config, model), 1) if stage == "finetune" else 1
            found[stage] = side_by_side * sum(float(pd.read_csv(path, sep="\t")["s"].sum()) for path in files)
    return found


def _scaled(measured: dict[str, float], config: Config, model: ModelConfig, stage: str, work: Work) -> float | None:
    """A pilot's seconds for this model's work: what starting up costs is scaled along, so that this is rather too much."""
    if stage not in measured:
        return None
    from presto_bench.config import reading
    from presto_bench.runs import pilot

    piloted = _piloted(config)
    small = reading.load(pilot.cut(config.model_dump(mode="json", exclude_unset=True), piloted.name))
    units, _ = WORK[stage](small, small.models[0], pilot.REQUESTS)
    size = (model.billions or 1) / (piloted.billions or 1)
    return measured[stage] * size * work[0] / units if units else None


def _piloted(config: Config) -> ModelConfig:
    folder = Path("results") / f"{config.experiment}{SUFFIX}" / "models"
    return next((model for model in config.models if (folder / model.name).is_dir()), config.models[0])


def show(config: Config) -> str:
    """For a terminal."""
    found = table(config)
    if found.empty:
        return "No model says how many parameters it has: add `billions: …` to its entry."
    total = {"model": "together", **found.drop(columns="model").sum().to_dict(), "gpu_memory_gb": found["gpu_memory_gb"].max()}
    told = pd.concat([found, pd.DataFrame([total])], ignore_index=True).to_markdown(index=False, floatfmt=".1f")
    source = (
        "a pilot's times"
        if pilot_seconds(config, Path("results"))
        else "assumed rates (a factor of two or three); a pilot measures them"
    )
    return f"{told}\n\nFrom {source}. Judges: presto-bench cost."
