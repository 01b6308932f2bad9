"""kind -> "module:Class", as text, so that reading a config imports no torch. A dotted path registers a user's own."""

import importlib
from typing import Any

from presto_bench.errors import UserError, extra_of, of_missing_package
from presto_bench.moved import new_address

MODELS = {
    "pypi": "presto_bench.config.models:PypiModel",
    "hub": "presto_bench.config.models:HubModel",
    "local": "presto_bench.config.models:LocalModel",
    "endpoint": "presto_bench.config.models:EndpointModel",
}
ARMS = {
    "none": "presto_bench.config.arms:NoArm",
    "training": "presto_bench.config.arms:TrainingArm",
    "checkpoint": "presto_bench.config.arms:CheckpointArm",
    "endpoint": "presto_bench.config.arms:EndpointArm",
    "decoding": "presto_bench.config.arms:DecodingArm",
    "safe_decoding": "presto_bench.config.arms:SafeDecodingArm",
    "finetuned": "presto_bench.config.arms:FinetunedArm",
}
ATTACKS = {
    "direct": "presto_bench.config.attacks:Direct",
    "prefilling": "presto_bench.config.attacks:Prefilling",
    "sampling": "presto_bench.config.attacks:Sampling",
    "guided": "presto_bench.config.attacks:Guided",
    "autorap": "presto_bench.config.attacks:AutoRap",
    "human": "presto_bench.config.attacks:Human",
    "oracle": "presto_bench.config.attacks:Oracle",
    "gcg": "presto_bench.config.attacks:Gcg",
    "embedding": "presto_bench.config.attacks:Embedding",
}
JUDGES = {
    "standin": "presto_bench.config.judges:Standin",
    "facts": "presto_bench.config.judges:Facts",
    "likelihood": "presto_bench.config.judges:Likelihood",
    "rubric": "presto_bench.config.judges:Rubric",
    "local_rubric": "presto_bench.config.judges:LocalRubric",
    "strong_reject": "presto_bench.config.judges:StrongReject",
    "judgezoo": "presto_bench.config.judges:JudgeZoo",
}
TASKS = {
    "answer_loss": "presto_bench.config.tasks:AnswerLoss",
    "refusal_rate": "presto_bench.config.tasks:RefusalRate",
    "lm_eval": "presto_bench.config.tasks:LmEval",
    "mt_bench": "presto_bench.config.tasks:MtBench",
}
KINDS = {"models": MODELS, "arms": ARMS, "attacks": ATTACKS, "judges": JUDGES, "tasks": TASKS}


def config_class(section: str, kind: str, where: str) -> type:
    """The pydantic class of `kind` in `section`; `where` is the key to name when there is none."""
    target = KINDS[section].get(kind, kind if ":" in kind else None)
    if target is None:
        known = ", ".join(KINDS[section])
        raise UserError(where, f"unknown kind {kind!r}", f"one of: {known}; or your own class as 'module:Class'")
    return load(target, where)


def load(target: str, where: str) -> Any:
    """The object that "module:name" names."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        address = new_address(error) if isinstance(error, ImportError) else None
        mend = f"it is {address} now" if address else "correct the name, or put its package on PYTHONPATH"
        if isinstance(error, ModuleNotFoundError) and extra_of(error):
            raise of_missing_package(error) from error
        raise UserError(where, f"cannot import {target!r}: {error}", mend) from error


def runner_module(config: object) -> str:
    """Module that does the work of a configured item (its class says so in `runner`)."""
    return type(config).runner.partition(":")[0]


def plugin_modules(config: object) -> list[str]:
    """Modules of a configured item whose edits change its results: its runner's, and a user's own config class's."""
    own = type(config).__module__
    return [runner_module(config), *([] if own.startswith("presto_bench.") else [own])]


def runner(config: object) -> Any:
    return load(type(config).runner, type(config).__name__)
