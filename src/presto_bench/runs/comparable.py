"""Which of an experiment's numbers may be laid beside the paper's, and what it lacks for the paper's own items."""

from collections.abc import Iterator
from typing import Any

from presto_bench.config.arms import CheckpointArm
from presto_bench.config.attacks import AutoRap, Gcg, Human, Prefilling
from presto_bench.config.experiment import Config
from presto_bench.config.judges import Rubric
from presto_bench.config.tasks import LmEval, MtBench
from presto_bench.report import items

# Our arm -> the paper's arm. The paper does not say from which of the two forms of PRESTO its numbers come.
ARMS = {"base": "base", "da": "da", "da_presto": "da_presto", "da_presto_reference": "da_presto"}
LLAMA2 = "meta-llama/Llama-2-7b-chat-hf"
DA_CHECKPOINT = "Unispac/Llama2-7B-Chat-Augmented"  # Llama 2's DA arm in the paper is this published model
HELPER = "Qwen/Qwen2.5-1.5B-Instruct"
JUDGE = "gpt-5"
GCG = {"steps": 500, "candidates": 512, "top_k": 256}
INTERACTIONS, HUMAN_INTERACTIONS, TOKENS = 512, 256, 512


def measured(config: Config) -> list[dict[str, Any]]:
    """Our attacks and tasks as the paper's: measure, attack, setting, our name and variant, and why the two cannot be compared ('' where they can)."""
    return [*_scores(config), *_tasks(config), *_helper(config)]


def roles(config: Config, model: str) -> dict[str, str]:
    """Our arm -> the paper's arm, for one model: those of the same name, and for Llama 2 the published checkpoint."""
    named = {arm: ARMS[arm] for arm in config.arm_names(model) if arm in ARMS}
    taken = [config.item("arms", arm) for arm in config.arm_names(model)]
    return named | {arm.name: "da" for arm in taken if isinstance(arm, CheckpointArm) and arm.id == DA_CHECKPOINT}


def own_arm(config: Config, hub_id: str, arm: str) -> str:
    """Why an arm of ours is another one than the paper's; '' where it is the same."""
    entry = config.item("arms", arm)
    if hub_id == LLAMA2 and arm == "da" and not isinstance(entry, CheckpointArm):
        return "published: the checkpoint of Qi et al., not our training"
    return ""


def lacking(config: Config) -> dict[str, str | None]:
    """The paper's items -> what each lacks in this experiment; None where it can be made."""
    kinds = {item.kind for item in (*config.attacks, *config.tasks)}
    kinds |= {items.JAILBROKEN for arm in config.arms if getattr(arm, "examples", None)}
    found: dict[str, str | None] = {}
    for name, item in items.ITEMS.items():
        named = " or ".join(f"`{kind}`" for kind in item.kinds)
        lacks = item.kinds and not kinds & set(item.kinds)
        found[name] = f"this experiment has no {item.of} of kind {named}" if lacks else None
    return found


def _scores(config: Config) -> Iterator[dict[str, Any]]:
    graded = _graded(config)
    for attack in config.attacks:
        if isinstance(attack, Prefilling) and "full" in attack.lengths:
            yield _row("score", "prefilling", "", attack.name, "prefill_full", [*graded, *_prefilled(attack)])
        if isinstance(attack, AutoRap) and True in attack.prefill:
            why = [*graded, *_searched(config, attack)]
            for k in attack.k:
                yield _row("score", "autorap", f"k={k}", attack.name, f"k{k}_prefill_s{attack.max_steps}", why)
        if isinstance(attack, Gcg):
            yield _row("score", "gcg", "", attack.name, attack.variants()[0], [*graded, *_gcg(attack)])
        if isinstance(attack, Human):
            why = (
                []
                if attack.max_steps == HUMAN_INTERACTIONS
                else [f"{attack.max_steps} interactions, published: {HUMAN_INTERACTIONS}"]
            )
            yield _row("score", "human", f"k={attack.k}", attack.name, f"k{attack.k}", [*graded, *why])
            yield _row("seconds_per_token", "human", f"k={attack.k}", attack.name, f"k{attack.k}", why)


def _gcg(attack: Gcg) -> list[str]:
    """Targets are not printed: ours, the published prefills, are taken for them."""
    other = {
        "steps": attack.steps != GCG["steps"],
        "candidates": attack.candidates != GCG["candidates"],
        "top_k": attack.top_k != GCG["top_k"],
        "space_before_target": not attack.space_before_target,
        "space_behind_suffix": not attack.space_behind_suffix,
    }
    return (
        [f"other settings than published: {', '.join(name for name, differs in other.items() if differs)}"]
        if any(other.values())
        else []
    )


def _graded(config: Config) -> list[str]:
    judge = config.item("judges", config.default_judge)
    if isinstance(judge, Rubric) and judge.model.startswith(JUDGE):
        return []
    return [f"graded by {getattr(judge, 'model', judge.kind)}, published: GPT-5"]


def _prefilled(attack: Prefilling) -> list[str]:
    return [] if attack.max_new_tokens == TOKENS else [f"{attack.max_new_tokens} tokens, published: {TOKENS}"]


def _searched(config: Config, attack: AutoRap) -> Iterator[str]:
    if attack.mode != "paper":
        yield f"mode {attack.mode}, published: Algorithm 1"
    if attack.max_steps != INTERACTIONS:
        yield f"{attack.max_steps} interactions, published: {INTERACTIONS}"
    yield from _helped(config)


def _helped(config: Config) -> Iterator[str]:
    own = config.helper
    if (own.model or {}).get("id") != HELPER:
        yield f"helper {(own.model or {}).get('id', 'made from the target')}, published: {HELPER}"
    if own.lessons != "paper" or own.end_share or own.stray_share:
        yield "the helper's lessons are ours"


def _tasks(config: Config) -> Iterator[dict[str, Any]]:
    for task in config.tasks:
        if isinstance(task, MtBench):
            yield _row("mt_bench", "", "", task.name, "", _rated(task))
        if isinstance(task, LmEval) and task.task.startswith("gsm8k"):
            why = [] if task.task == "gsm8k_cot_llama" else [f"task {task.task}, published: gsm8k_cot_llama"]
            yield _row("gsm8k", "", "", task.name, "", why)


def _rated(task: MtBench) -> list[str]:
    model = task.judge().model
    # The paper says GPT-4 in one sentence and GPT-5 in the next.
    return [] if model.startswith(("gpt-4", JUDGE)) else [f"graded by {model}, published: GPT-4 or GPT-5"]


def _helper(config: Config) -> Iterator[dict[str, Any]]:
    if any(getattr(attack, "helper", None) for attack in config.attacks):
        why = list(_helped(config))
        yield _row("helper_accuracy", "", "", "helpers", "", why)
        yield _row("refusal_tokens", "", "", "helpers", "", why)


def _row(measure: str, attack: str, setting: str, name: str, variant: str, why: list[str]) -> dict[str, Any]:
    return {"measure": measure, "attack": attack, "setting": setting, "name": name, "variant": variant, "why": "; ".join(why)}
