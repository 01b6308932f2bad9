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
from presto_bench.report import items
from presto_bench.report import methods as methods_of
from presto_bench.runs import access, closing, cluster, layout, pilot
from presto_bench.runs.shown import Shown
from presto_bench.runs.specs import HOW, RUN_ONLY, Machine, Specs
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
MOST_THREADS = 8  # a job on a small model gains nothing from more
LISTS = seen_from_here(os.path.join(os.path.dirname(presto_bench.__file__), "policies/data"))
DETECTOR = seen_from_here(os.path.join(os.path.dirname(presto_bench.__file__), "judges/data/refusal_detector.json"))
PUBLISHED = seen_from_here(os.path.join(os.path.dirname(presto_bench.__file__), "report/data/published.csv"))
EXPERIMENT, SPECS, MACHINE = Shown(CONFIG, LISTS), Specs(CONFIG), Machine(CONFIG)
RESULTS, POLICY_LISTS, FETCHED = EXPERIMENT.results, EXPERIMENT.lists, EXPERIMENT.fetched
MODELS, ATTACKS, JUDGES, TASKS = EXPERIMENT.models, EXPERIMENT.attacks, EXPERIMENT.judges, EXPERIMENT.tasks
ARMS = [item.name for item in CONFIG.arms]
GRID = {section: [item.name for item in CONFIG.of_strength(section)] for section in ("arms", "attacks", "tasks")}
STANDIN, FACTS = EXPERIMENT.is_standin, EXPERIMENT.is_facts
# What is measured on one model for all; by name, so that their order in the config means nothing.
FIRST_MODEL = min(MODELS)
DEFAULT_JUDGE, LABELLED_JUDGE = CONFIG.default_judge, EXPERIMENT.labelled_judge()
ON_DEMAND = EXPERIMENT.figures_on_demand()
FIGURE_NEEDS, FIGURES, TABLES = EXPERIMENT.figure_needs(), EXPERIMENT.figure_files(), EXPERIMENT.table_files()
MISSING = access.missing(CONFIG)


def require_all():
    """Before the first job: what is missing, and whether results can be written. A dry run only names the former, beside its jobs."""
    try:
        access.require_writable(Path(RESULTS))
    except UserError as error:
        raise WorkflowError(str(error))
    if MISSING:
        told = "\n".join(str(item) for item in MISSING)
        raise WorkflowError(f"{len(MISSING)} things are missing:\n{told}")
    layout.stamp(Path(RESULTS))


if MISSING and workflow.is_main_process:
    print(f"{len(MISSING)} things are missing before this experiment can run:", *MISSING, sep="\n", file=sys.stderr)


def paper_item_files(name, lacks):
    """Files of one of the paper's items; asked for one that cannot be made here, the reason."""

    def files(wildcards):
        if lacks:
            raise WorkflowError(f"{name} ({items.ITEMS[name].what}): {lacks}")
        endings = ["pdf", "png"] if items.ITEMS[name].figure else ["csv"]
        return [f"{RESULTS}/paper/{name}.{ending}" for ending in endings]

    return files


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


def shared_by(jobs, least=lambda wildcards: 1):
    """Threads per job so that `jobs` jobs fill this machine: one loads libraries, another computes. On a cluster 2."""

    def threads(wildcards):
        cores = workflow.resource_settings.cores
        if not workflow.is_main_process:  # a job on a node, with the cores that it was given
            return cores or 2
        here = workflow.executor_plugin is None or workflow.executor_plugin.common_settings.local_exec
        return max(min(cores // jobs, MOST_THREADS) if here and cores else 2, least(wildcards))

    return threads


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
