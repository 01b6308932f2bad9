"""Names of the public data sets that a config may ask for; data/sources.py says what each is."""

from typing import Any

from presto_bench.config.parts import OWN

GENERATED = "generated"  # what a model's triples may be instead of a source; its anchors may be its OWN
WRITTEN = "written"  # what the prefills may be instead of a source
NAMES = (
    "alpaca",
    "gsm8k",
    "gsm8k_train",
    "hex_phi",
    "llama2_anchors",
    "llama2_triples",
    "mt_bench",
    "mt_bench_prompts",
    "mt_bench_references",
    "or_bench_hard",
    "pku_saferlhf",
    "push_forward_few_shot",
    "push_forward_gemma3_anchors",
    "push_forward_gemma3_triples",
    "push_forward_prefills",
    "push_forward_qwen3_anchors",
    "push_forward_qwen3_triples",
    "push_forward_red_team",
    "push_forward_safety_prompts",
    "push_forward_utility_prompts",
    "requests",
    "standin_benign",
    "strongreject",
    "strongreject_small",
    "xstest",
)


def trains(config: Any) -> bool:
    """Whether anything learns from the policy's texts: an arm, or AutoRAP's helper. Without that, no training texts are fetched or written."""
    learns = any(arm.kind in ("training", "finetuned") for arm in config.arms)
    return learns or any(getattr(attack, "helper", None) for attack in config.attacks)


def used(config: Any) -> list[str]:
    """Names of the sources that a config asks for, in a fixed order."""
    asked = {name for task in config.tasks for name in task.sources}
    if config.policy != "harm":
        return sorted(asked)
    harm = config.harm
    names = asked | {harm.test, harm.prefills, harm.benign_prompts} | ({harm.examples} if harm.examples else set())
    names |= {harm.answers} if harm.answers else set()
    if trains(config):
        names |= _training(config)
    names |= {examples for arm in config.arms if (examples := getattr(arm, "examples", None))}
    names |= {harm.entropies} if harm.entropies else set()
    if any(getattr(attack, "helper", None) for attack in config.attacks):
        names.add(harm.helper)
    return sorted(names - {GENERATED, OWN, WRITTEN})


def _training(config: Any) -> set[str]:
    """Names of the sources that training texts come from."""
    harm, models = config.harm, config.models
    names = {model.data.triples for model in models} | {model.data.anchors for model in models}
    if harm.harmful_model or GENERATED in names:
        names.add(harm.safety_prompts)
    if any(model.data.anchors == OWN for model in models):
        names.add(harm.anchor_prompts)
    return names
