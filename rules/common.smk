# What the rules share: the checked config, names, and the two params that decide what reruns.
# Needs: `config`. Makes: nothing. No rule stands here, and nothing here imports torch.

import os
import sys
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path

import presto_bench
from presto_bench import config as typed
from presto_bench import fingerprint, registry
from presto_bench.config import source_names
from presto_bench.data import sources
from presto_bench.errors import UserError
from presto_bench.report import methods as methods_of
from presto_bench.runs import access, closing, cluster, layout, pilot
from snakemake.exceptions import WorkflowError

try:
    if "pilot" in config:  # --config pilot=MODEL: a small run of a large experiment
        config.update(pilot.cut(config, config.pop("pilot")))
    CONFIG = typed.load(config, "config")
    layout.require_current(Path("results") / CONFIG.experiment)
except UserError as error:
    raise WorkflowError(str(error))


def seen_from_here(path):
    """A path relative to this folder, if it lies in it - a project that is moved as a whole has nothing to do anew."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else str(path)


def shipped(path):
    """A file that a config names - in this folder, or else beside the Snakefile."""
    return path if os.path.exists(path) else os.path.join(workflow.basedir, path)


STARTED = time.time()
RESULTS = f"results/{CONFIG.experiment}"
LISTS = seen_from_here(os.path.join(os.path.dirname(presto_bench.__file__), "policies/data"))
# Lists that stages read beside their tables.
STANDIN = CONFIG.policy != "harm"
FACTS = CONFIG.policy == "facts"
LISTED = {
    "cooking": ["dishes", "requests", "prefills", "refusals", "refusal_closings"],
    "facts": ["facts/facts", "facts/questions", "facts/statements", "facts/prefills", "facts/refusals"],
    "harm": [],
}
POLICY_LISTS = [f"{LISTS}/{name}.csv" for name in LISTED[CONFIG.policy]]
# What is fetched is the untouched model, but for policy `facts`, where it is to be taught first.
FETCHED = "untaught" if FACTS else "untouched"
MODELS = [item.name for item in CONFIG.models]
ARMS = [item.name for item in CONFIG.arms]
ATTACKS = [item.name for item in CONFIG.attacks]
JUDGES = [item.name for item in CONFIG.judges]
TASKS = [item.name for item in CONFIG.tasks]
# What is measured on one model for all; by name, so that their order in the config means nothing.
FIRST_MODEL = min(MODELS)


MISSING = access.missing(CONFIG)


def require_all():
    """Before the first job: what is missing, and whether results can be written. A dry run only names the former, beside its jobs."""
    try:
        access.require_writable(Path(RESULTS))
        layout.stamp(Path(RESULTS))
    except UserError as error:
        raise WorkflowError(str(error))
    if not MISSING:
        return
    told = "\n".join(str(item) for item in MISSING)
    raise WorkflowError(f"{len(MISSING)} things are missing:\n{told}")


if MISSING and workflow.is_main_process:
    print(f"{len(MISSING)} things are missing before this experiment can run:", *MISSING, sep="\n", file=sys.stderr)


def begin_on_cluster():
    """Before the first job goes to Slurm: orphans of a head that died are cancelled, and nodes must see what they are to run."""
    if workflow.executor_plugin is None or workflow.executor_plugin.name != "slurm":
        return
    try:
        orphans = cluster.begin(Path.cwd(), CONFIG.experiment)
    except UserError as error:
        raise WorkflowError(str(error))
    if orphans:
        print(f"cancelled {len(orphans)} jobs of an earlier run that died: {', '.join(orphans)}; their checkpoints are kept")


def kept(output):
    """Weights of our own making - deleted when nothing needs them any more, where the config wants it so."""
    return output if CONFIG.keep_weights else temp(output)


def one_of(names):
    """Regex of a wildcard that may only be one of `names`."""
    return "|".join(names) if names else "(?!)"


def spec(**parts):
    """Canonical JSON of just what a rule's stage may see."""
    return typed.canonical({name: _plain(part) for name, part in parts.items()})


def _plain(part):
    return part.model_dump(mode="json") if hasattr(part, "model_dump") else part


def code(stage, *items):
    """Hash of the code behind a stage, and of the plug-ins of the configured items that it runs."""
    plugins = [module for item in items for module in registry.plugin_modules(item)]
    return hashed(f"presto_bench.stages.{stage}", *plugins)


@cache
def hashed(*modules):
    """Once for all jobs of a rule: there may be thousands."""
    return fingerprint.code_hash(modules)


def model_spec(name, *sections):
    """A model's entry without the settings that the stage has no use for, so that they cannot make it stale."""
    settings = {"chat", "sampling", "data", "resources", "billions", "gated", "dtype", "decode_dtype"} - set(sections)
    return CONFIG.item("models", name).model_dump(mode="json", exclude=settings)


def judge_spec(name):
    """A judge's entry without the settings that only say how a grade is got."""
    judge = CONFIG.item("judges", name)
    return judge.model_dump(mode="json", exclude=set(type(judge).run_only))


def attack_spec(name):
    """An attack's entry without the settings that only say how it is spread over jobs."""
    attack = CONFIG.item("attacks", name)
    return attack.model_dump(mode="json", exclude=set(type(attack).run_only))


def task_spec(name):
    """A task's entry without the models that it is for, and without how its grader is reached."""
    found = CONFIG.item("tasks", name).model_dump(mode="json", exclude={"only"})
    if "grader" in found:
        found["grader"] = {key: value for key, value in found["grader"].items() if key not in RUBRIC_RUN_ONLY}
    return found


def task_dtype(name):
    return "decode_dtype" if CONFIG.item("tasks", name).decodes else "dtype"


RUBRIC_RUN_ONLY = registry.config_class("judges", "rubric", "judges").run_only


def attacks_in_one_piece():
    return [attack.name for attack in CONFIG.attacks if attack.shards == 1]


def sharded_attacks():
    return [attack.name for attack in CONFIG.attacks if attack.shards > 1]


def shards_of(wildcards):
    """The shards of one arm's completions."""
    shards = CONFIG.item("attacks", wildcards.attack).shards
    folder = f"{RESULTS}/attacks/{wildcards.attack}/{wildcards.model}/{wildcards.arm}/seed{wildcards.seed}.shards"
    return [f"{folder}/{shard}of{shards}.parquet" for shard in range(shards)]


def judge_inputs(name):
    """What rules make for a judge: a rubric's template, a local judge's weights."""
    judge, folder = CONFIG.item("judges", name), f"{RESULTS}/judge/{name}"
    inputs = {"template": f"{folder}/template.json"} if hasattr(judge, "template") else {}
    return inputs | ({"weights": f"{folder}/model"} if hasattr(judge, "weights") else {})


# Of a training, how often it saves, whom it tells and which models have it: they change no result, so they reach the job as resources, if at all.
RUN_ONLY = {"save_every", "report_to", "only"}
# And what only how it computes depends on, not what it is taught.
HOW = {"gradient_norms_every", "gradient_checkpointing", "launch", "autocast"}


def arm_spec(name, without=frozenset()):
    return CONFIG.item("arms", name).model_dump(mode="json", exclude=RUN_ONLY | without)


MACHINE = ("gpu", "gres", "mem_mb", "runtime")  # what jobs ask of a machine
SETTINGS = ("save_every", "report_to")  # of a training, what changes no result


def training_resources(training, model):
    """What a training asks for - resources of its model, a GPU a process, and the settings that change no result."""
    gpus = max(model.resources.gpu, training.launch.processes) if model.resources.gpu else 0
    return {
        "save_every": training.save_every,
        "report_to": ",".join(training.report_to),
        **on_the_cluster(gpus, model.resources),
    }


def on_the_cluster(gpus, asked):
    """GPUs in the form that the cluster takes, MB and minutes."""
    as_gres = CONFIG.gpu_form == "gres"
    return {
        "gpu": 0 if as_gres else gpus,
        "gres": f"gpu:{gpus}" if as_gres and gpus else "",
        "mem_mb": asked.mem_mb,
        "runtime": asked.runtime,
    }


# What a job that was killed for want of it gets more of when it is submitted again.
GROWING = {"mem_mb", "runtime"}


def growing(name, value, attempt):
    return value * attempt if name in GROWING else value


def of_training():
    """What the training of an arm asks for."""
    return _of_trainings(lambda wildcards: CONFIG.item("arms", wildcards.arm))


def of_standin(training):
    """What a training of a stand-in's own asks for - `alignment` or `teaching`."""
    return _of_trainings(lambda wildcards: getattr(CONFIG.standin, training))


def _of_trainings(training_of):
    def one(name):
        def of(wildcards, attempt):
            found = training_resources(training_of(wildcards), CONFIG.item("models", wildcards.model))
            return growing(name, found[name], attempt)

        return of

    return {name: one(name) for name in (*SETTINGS, *MACHINE)}


def arms_of_kind(cls):
    return [arm.name for arm in CONFIG.arms if isinstance(arm, cls)]


def model_folder(wildcards):
    return f"{RESULTS}/models/{wildcards.model}/{wildcards.arm}/seed{wildcards.seed}"


def seeded(wildcards, arm):
    """An arm's weights of a job's seed; an arm with one seed alone has that."""
    seeds = CONFIG.arm_seeds(arm)
    seed = int(wildcards.seed) if int(wildcards.seed) in seeds else seeds[0]
    return f"{RESULTS}/models/{wildcards.model}/{arm}/seed{seed}"


def untouched(wildcards):
    return f"{RESULTS}/models/{wildcards.model}/untouched/seed0"


def base(wildcards):
    return f"{RESULTS}/models/{wildcards.model}/base/seed0"


def of_model(model=None, only=MACHINE):
    """What a rule's job asks of the machine: its model's own resources, or those of the model that is named."""
    return {name: _resource(name, model) for name in only}


def _resource(name, model):
    """More with each attempt, where want of it kills jobs."""

    def of(wildcards, attempt):
        asked = CONFIG.item("models", model or wildcards.model).resources
        return growing(name, on_the_cluster(asked.gpu, asked)[name], attempt)

    return of


def local_files(path):
    """Files of a user's model folder whose change must be seen."""
    folder = Path(path)
    return sorted(str(f) for f in folder.glob("*") if f.suffix in {".json", ".safetensors", ".jinja", ".model"}) or [
        str(folder / "config.json")
    ]


def attack_inputs(wildcards):
    """The attacked model and the data; the untouched parent where the attack is guided by it."""
    inputs = {
        "model": model_folder(wildcards),
        "prompts": f"{RESULTS}/data/prompts.parquet",
        "prefills": f"{RESULTS}/data/prefills.parquet",
        "answers": f"{RESULTS}/data/{wildcards.model}/answers.parquet",
        "lists": POLICY_LISTS,
    }
    attack = CONFIG.item("attacks", wildcards.attack)
    if attack.needs_parent:
        inputs["parent"] = untouched(wildcards)
    if getattr(attack, "helper", None):
        inputs["helper"] = helper_folder(wildcards, attack.helper)
    if getattr(attack, "sessions", None):
        inputs["sessions"] = session_files(attack.sessions, wildcards.model, wildcards.arm, wildcards.seed)
    return inputs


def donor(wildcards):
    """The other arm of the headline, of the same seed: whose attention the causal test gives to this one. The base gets none."""
    others = [arm for arm in CONFIG.headline if arm != wildcards.arm]
    if len(others) == 2:
        return {}
    return {"donor": seeded(wildcards, others[0])}


def session_files(folder, model, arm, seed):
    """What people recorded on one arm; a new session makes its attack stale."""
    return sorted(str(path) for path in (Path(folder) / model / arm / f"seed{seed}").glob("*/*.jsonl"))


def helper_folder(wildcards, helper):
    """The helper that learned from the attack's target arm, or from the very arm that is attacked."""
    own = helper.target_arm == typed.OWN
    arm, seed = (wildcards.arm, wildcards.seed) if own else (helper.target_arm, helper.seed)
    return f"{RESULTS}/helpers/{wildcards.model}/{arm}/seed{seed}"


def sources_of(kind):
    """Files of the sources that all models together have for `triples` or `anchors`, those of the policy where a model makes its own."""
    made = {
        "triples": (source_names.GENERATED, CONFIG.harm.safety_prompts),
        "anchors": (typed.OWN, CONFIG.harm.anchor_prompts),
    }[kind]
    names = {getattr(model.data, kind) for model in CONFIG.models}
    return [source_file(name) for name in sorted(made[1] if name == made[0] else name for name in names)]


def data_of(wildcards, kind):
    """Where a model's `triples` or `anchors` come from."""
    return getattr(CONFIG.item("models", wildcards.model).data, kind)


def triples_inputs(wildcards):
    """A published file, or harmful answers of the model that the user named; and this model, where its own refusals are wanted."""
    named = data_of(wildcards, "triples")
    if named == source_names.GENERATED:
        return {"harmful": f"{RESULTS}/data/harmful_answers.parquet", "model": untouched(wildcards)}
    own = {"model": untouched(wildcards)} if data_of(wildcards, "refusals") == typed.OWN else {}
    return {"source": source_file(named), **own}


def harmful_model():
    """The entry of the model that writes harmful answers; empty where the user has named none."""
    return {"name": "harmful_model", **CONFIG.harm.harmful_model} if CONFIG.harm.harmful_model else {}


def writing(wildcards=None):
    """How long, in what batches and through what models write data; and a model's own penalty on repeating itself."""
    found = {key: getattr(CONFIG.harm, key) for key in ("max_new_tokens", "batch_size", "engine")}
    return found | ({"repetition_penalty": data_of(wildcards, "repetition_penalty")} if wildcards else {})


def source_file(name):
    return f"{RESULTS}/sources/{name}.{sources.SOURCES[name].ending}"


def refusals_behind(arm):
    """Which triples hold the harmful answers that a fine-tuning attack teaches: those of the arm that it starts from."""
    start = CONFIG.item("arms", CONFIG.item("arms", arm).of)
    return getattr(start, "refusals", "greedy" if STANDIN else "given")
