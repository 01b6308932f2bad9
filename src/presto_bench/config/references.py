"""What a config's parts must agree on with each other: names, references, and what each policy has. Torch-free.

The classes in config/ check each part by itself; `check` the whole, and its first mistake is named with the key and the mend.
"""

from collections.abc import Sequence
from typing import Any

from presto_bench import registry
from presto_bench.config import source_names
from presto_bench.config.arms import CheckpointArm, DecodingArm, EndpointArm, FinetunedArm, NoArm, SafeDecodingArm, TrainingArm
from presto_bench.config.endpoint import ServedConfig
from presto_bench.config.experiment import LISTS, Config, is_for, is_graded
from presto_bench.config.parts import OWN, UNTAUGHT, UNTOUCHED, Item, canonical, in_letters
from presto_bench.config.reading import validate
from presto_bench.errors import UserError

OWN_JUDGES = {"standin": "cooking", "facts": "facts"}


def check(config: Config, where: str) -> None:
    _names(config, where)
    _arms_and_attacks(config, where)
    _only(config, where)
    _served(config, where)
    _policy(config, where)
    _strength(config, where)
    _curve(config, where)
    _pools(config, where)
    _audit(config, where)


def _names(config: Config, where: str) -> None:
    for section in LISTS:
        names = [item.name for item in getattr(config, section)]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"{where}: {section}", f"the name {name!r} stands twice", "give each entry its own name")
        _distinct_in_letters(section, names, where)
    if len(set(config.seeds)) != len(config.seeds):
        raise UserError(f"{where}: seeds", "a seed stands twice", "list each seed once")


def _distinct_in_letters(section: str, names: list[str], where: str) -> None:
    """Every number of the tables becomes a LaTeX macro: said now, and not when the last table is written."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(in_letters(name), name)
        if other != name:
            raise UserError(
                f"{where}: {section}",
                f"{other!r} and {name!r} make the same LaTeX macros",
                "give one of them another word or digit",
            )


def _arms_and_attacks(config: Config, where: str) -> None:
    if [a.name for a in config.arms if isinstance(a, NoArm)] != ["base"]:
        raise UserError(
            f"{where}: arms", "there must be exactly one arm of kind `none`, named `base`", "add `- {name: base, kind: none}`"
        )
    for reserved in (UNTOUCHED, UNTAUGHT):
        if any(a.name == reserved for a in config.arms):
            raise UserError(f"{where}: arms", f"the name {reserved!r} is reserved", "rename that arm")
    models = [m.name for m in config.models]
    for arm in config.arms:
        if isinstance(arm, CheckpointArm | EndpointArm) and arm.of not in models:
            raise UserError(f"{where}: arms.{arm.name}.of", f"there is no model {arm.of!r}", f"one of: {', '.join(models)}")
        for key in ("of", "expert") if isinstance(arm, DecodingArm | SafeDecodingArm | FinetunedArm) else ():
            known = [a.name for a in config.arms if isinstance(a, NoArm | TrainingArm)]
            if getattr(arm, key, known[0]) not in known:
                raise UserError(
                    f"{where}: arms.{arm.name}.{key}",
                    f"{getattr(arm, key)!r} is no arm to start from",
                    f"one of: {', '.join(known)}",
                )
    for section in ("arms", "attacks", "tasks"):
        for item in getattr(config, section):
            unknown = sorted(set(getattr(item, "only", None) or []) - set(models))
            if unknown:
                raise UserError(
                    f"{where}: {section}.{item.name}.only", f"there is no model {unknown[0]!r}", f"some of: {', '.join(models)}"
                )
    served = [arm for arm in config.arms if isinstance(arm, SafeDecodingArm)]
    for attack in config.attacks:
        models_of = set(getattr(attack, "only", None) or models)
        inside = [arm.name for arm in served if models_of & set(arm.only or models)]
        if getattr(attack, "follows_gradients", False) and inside:
            raise UserError(
                f"{where}: attacks.{attack.name}",
                f"it follows gradients, and the arm {inside[0]} decodes from two models at once",
                "give one of the two an experiment of its own",
            )
    for arm in config.headline if "headline" in config.model_fields_set else ():
        if arm not in [a.name for a in config.arms]:
            raise UserError(
                f"{where}: headline", f"there is no arm {arm!r}", "name two arms of this experiment: reference, treated"
            )
    for attack in config.attacks:
        if len(set(attack.variants())) < len(attack.variants()):
            raise UserError(
                f"{where}: attacks.{attack.name}",
                f"the same variant stands twice: {attack.variants()}",
                "list each k, length and start once",
            )
        _helper(config, attack, f"{where}: attacks.{attack.name}.helper")
    _judges(config, where)
    if config.causal is not None:
        _causal(config, where, config.causal.seeds or [])
    searches = [attack.name for attack in config.attacks if attack.kind == "oracle"]
    if len(searches) > 1:
        raise UserError(
            f"{where}: attacks.{searches[1]}",
            "a second oracle: pickers are compared with one search",
            "put its k, starts and budgets into the first one",
        )


def _judges(config: Config, where: str) -> None:
    """One judge is the default and grades everything; the others what they name."""
    defaults = [judge for judge in config.judges if getattr(judge, "default", False)]
    if len(defaults) != 1:
        raise UserError(
            f"{where}: judges",
            f"exactly one judge must be the default, found {len(defaults)}",
            "set `default: true` on one judge",
        )
    if getattr(defaults[0], "is_control", False):
        raise UserError(
            f"{where}: judges.{defaults[0].name}.default",
            f"`{defaults[0].kind}` does not say whether a request was answered, so it can make no headline",
            "make another judge the default",
        )
    attacks = [attack.name for attack in config.attacks]
    for judge in config.judges:
        named = getattr(judge, "attacks", None)
        key = f"{where}: judges.{judge.name}.attacks"
        if named is not None and judge is defaults[0]:
            raise UserError(key, "the default judge grades every attack", "leave `attacks` out here")
        chosen = [a.name for a in config.attacks if a.best_of and is_graded(judge, a.name)]
        if getattr(judge, "is_control", False) and chosen:
            raise UserError(
                key, f"of {chosen[0]}'s samples the best counts, which this control cannot tell", "name the other attacks here"
            )
        unknown = sorted(set(named or []) - set(attacks))
        if unknown:
            raise UserError(key, f"there is no attack {unknown[0]!r}", f"some of: {', '.join(attacks)}")


def _causal(config: Config, where: str, seeds: Sequence[int]) -> None:
    """The causal test compares the headline's arms: they must be there, and be one model each."""
    if not any(set(config.headline) <= set(config.arm_names(model.name)) for model in config.models):
        raise UserError(
            f"{where}: causal",
            f"no model has both arms that it compares ({', '.join(config.headline)})",
            "name two arms of one model in `headline`, or leave `causal` out",
        )
    blended = [arm for arm in config.headline if isinstance(config.item("arms", arm), SafeDecodingArm)]
    if blended:
        raise UserError(
            f"{where}: causal",
            f"{blended[0]} decodes from two models, whose attention cannot be patched as one",
            "name other arms in `headline`, or leave `causal` out",
        )
    unknown = sorted(set(seeds) - set(config.seeds))
    if unknown:
        raise UserError(
            f"{where}: causal.seeds", f"the experiment has no seed {unknown[0]}", "take some of the experiment's seeds"
        )


def _only(config: Config, where: str) -> None:
    """What an item starts from or learns from is there for every model that the item is for."""
    for model in config.models:
        arms = config.arm_names(model.name)
        asked = [
            (f"arms.{name}.{key}", getattr(config.item("arms", name), key, None)) for name in arms for key in ("of", "expert")
        ]
        asked = [(key, arm) for key, arm in asked if arm != model.name]  # a checkpoint is `of` a model
        for name in config.attack_names(model.name):
            helper = getattr(config.item("attacks", name), "helper", None)
            asked.append((f"attacks.{name}.helper.target_arm", helper.target_arm if helper else None))
        for key, arm in asked:
            if arm not in (None, OWN, *arms):
                raise UserError(
                    f"{where}: {key}",
                    f"{model.name} has no arm {arm!r}",
                    "give both the same `only`, or take an arm that every model has",
                )


def _served(config: Config, where: str) -> None:
    """What needs weights is not asked of an endpoint, and no attack picks from more ranks than it returns."""
    targets: list[tuple[str, Any]] = [(section, entry) for section in ("models", "arms") for entry in getattr(config, section)]
    for section, entry in targets:
        if not isinstance(entry, ServedConfig):
            continue
        target: Any = entry  # with the fields of a model or of an arm
        model = target.name if section == "models" else target.of
        key = f"{where}: {section}.{target.name}"
        for attack in config.attacks:
            if not is_for(attack, model):
                continue
            if attack.follows_gradients:
                raise UserError(
                    f"{where}: attacks.{attack.name}",
                    f"it follows gradients, and {target.name} is behind an endpoint",
                    "leave it out, or give it to other models (`only`)",
                )
            deepest = max([0, *getattr(attack, "k", [])])
            if deepest > target.logprobs:
                raise UserError(
                    f"{key}.logprobs",
                    f"{attack.name} picks from {deepest} ranks, and the endpoint is asked for {target.logprobs}",
                    "raise `logprobs` as far as the server allows (vLLM: --max-logprobs), or lower `k`",
                )
        if section == "models":
            _not_a_start(config, target.name, where)


def _not_a_start(config: Config, model: str, where: str) -> None:
    """A model that is only asked cannot be trained, and has no untouched self that could guide or judge."""
    trained = [arm.name for arm in config.arms if isinstance(arm, TrainingArm | FinetunedArm) and is_for(arm, model)]
    guided = [attack.name for attack in config.attacks if attack.needs_parent and is_for(attack, model)]
    fluent = [judge.name for judge in config.judges if getattr(judge, "fluency", False)]
    reasons = [
        (trained, "arms", "it is trained", "leave it out for this model"),
        (
            guided,
            "attacks",
            "its guide would be the model's weights",
            "name a local model with the same tokenizer, and the endpoint as its arm",
        ),
        (fluent, "judges", "its fluency criterion needs the model's weights", "write `fluency: false`"),
    ]
    for names, section, what, mend in reasons:
        if names:
            raise UserError(f"{where}: {section}.{names[0]}", f"{what}, and {model} is behind an endpoint", mend)
    if config.standin.alignment is not None and config.policy != "harm":
        raise UserError(
            f"{where}: standin.alignment",
            f"{model} is behind an endpoint and cannot be aligned here",
            "write `alignment: null`",
        )
    if config.composition is not None:
        raise UserError(
            f"{where}: composition",
            f"it needs an untouched model, and {model} is behind an endpoint",
            "write `composition: null`",
        )


def _policy(config: Config, where: str) -> None:
    """Each policy has things that the other lacks."""
    refusals = {arm.name: arm.refusals for arm in config.arms if isinstance(arm, TrainingArm)}
    barred, mend = ("given", "greedy, sampled or varied") if config.policy != "harm" else ("varied", "given, greedy or sampled")
    for name, mode in refusals.items():
        if mode == barred:
            raise UserError(f"{where}: arms.{name}.refusals", f"policy {config.policy} has no {mode!r} refusals", mend)
    harm = config.harm
    parts = [
        harm.test,
        *([] if harm.prefills == source_names.WRITTEN else [harm.prefills]),
        harm.safety_prompts,
        harm.anchor_prompts,
        harm.benign_prompts,
        harm.helper,
        *([harm.examples] if harm.examples else []),
        *([harm.answers] if harm.answers else []),
    ]
    for name in [*source_names.used(config), *config.source_overrides, *parts]:
        if name not in source_names.NAMES:
            raise UserError(f"{where}: {name}", "there is no such source", f"one of: {', '.join(source_names.NAMES)}")
    for name, origin in config.source_overrides.items():
        if origin.startswith("http") and "@" in origin.split("//")[-1].split("/")[0]:
            raise UserError(
                f"{where}: source_overrides.{name}",
                "the address holds a name or password",
                "download the file and name it instead",
            )
    _written_prefills(config, where)
    if harm.harmful_model is not None and set(harm.harmful_model) == {"arm"}:
        _jailbroken(config, where)
    elif harm.harmful_model is not None:
        entry, key = {"name": "harmful_model", **harm.harmful_model}, f"{where}: harm.harmful_model"
        validate(registry.config_class("models", str(entry.get("kind")), f"{key}.kind"), entry, key)
    if config.helper.model is not None:
        entry, key = {"name": "helper_model", **config.helper.model}, f"{where}: helper.model"
        validate(registry.config_class("models", str(entry.get("kind")), f"{key}.kind"), entry, key)
    for judge in config.judges:
        if judge.kind in OWN_JUDGES and config.policy != OWN_JUDGES[judge.kind]:
            raise UserError(
                f"{where}: judges.{judge.name}",
                f"the judge `{judge.kind}` knows policy {OWN_JUDGES[judge.kind]} alone",
                f"take kind `{next((k for k, policy in OWN_JUDGES.items() if policy == config.policy), 'rubric')}`",
            )
    for attack in config.attacks:
        if attack.kind == "oracle" and config.policy != "facts":
            raise UserError(
                f"{where}: attacks.{attack.name}",
                f"what counts as an answer cannot be listed under policy {config.policy}, so that no search can prove anything",
                "leave this attack out, or take policy facts (config/experiments/facts.yaml)",
            )


def _written_prefills(config: Config, where: str) -> None:
    """Prefills that are to be written need a writer and examples; a writer that nobody asks is a mistake."""
    harm, key = config.harm, f"{where}: harm.written_prefills"
    if (harm.prefills == source_names.WRITTEN) != (harm.written_prefills is not None):
        raise UserError(key, "`prefills: written` and `written_prefills` go together", "give both, or neither")
    if harm.written_prefills is None:
        return
    if harm.examples is None:
        raise UserError(
            f"{where}: harm.examples", "written prefills go on from examples", "name a source with prompt and prefill"
        )
    entry = {"name": "prefill_model", **harm.written_prefills.model}
    validate(registry.config_class("models", str(entry.get("kind")), f"{key}.model.kind"), entry, f"{key}.model")


def _jailbroken(config: Config, where: str) -> None:
    """The arm that writes harmful answers: of every model whose triples are generated, from examples that need no triples."""
    name, key = (config.harm.harmful_model or {})["arm"], f"{where}: harm.harmful_model.arm"
    arm = next((arm for arm in config.arms if arm.name == name and isinstance(arm, FinetunedArm)), None)
    if arm is None or arm.examples is None:
        raise UserError(
            key, f"{name!r} is no arm of kind `finetuned` with `examples`", "add one: {kind: finetuned, of: base, examples: …}"
        )
    asking = [model.name for model in config.models if model.data.triples == source_names.GENERATED]
    absent = [model for model in asking if not is_for(arm, model)]
    if absent:
        raise UserError(key, f"{absent[0]} is to have generated triples and has no arm {name!r}", "widen its `only`")


def _strength(config: Config, where: str) -> None:
    """The grid varies a training of this experiment, with seeds and names of its own."""
    if config.strength is None:
        return
    if config.policy == "harm":
        raise UserError(
            f"{where}: strength",
            "under policy harm no prefills are published for dev requests, so that the rule has nothing to look behind",
            "leave it out, or take policy cooking or facts",
        )
    trained = [arm.name for arm in config.arms if isinstance(arm, TrainingArm)]
    if config.strength.arm not in trained:
        raise UserError(
            f"{where}: strength.arm", f"{config.strength.arm!r} is no arm that is trained", f"one of: {', '.join(trained)}"
        )
    shared = sorted(set(config.strength.seeds) & set(config.seeds))
    if shared:
        raise UserError(
            f"{where}: strength.seeds",
            f"seed {shared[0]} is one of the experiment's own",
            "take others: a learning rate must not be chosen on the seeds that it is judged by",
        )
    for section in ("arms", "attacks", "tasks"):
        taken = {item.name for item in getattr(config, section)} & {item.name for item in config.of_strength(section)}
        if taken:
            raise UserError(f"{where}: {section}", f"the name {min(taken)!r} belongs to the strength rule", "rename that entry")


def _helper(config: Config, attack: Item, where: str) -> None:
    """An attack's helper learns from a target that this experiment trains."""
    helper = getattr(attack, "helper", None)
    if helper is None or helper.target_arm == OWN:
        return
    arms = [arm.name for arm in config.arms]
    if helper.target_arm not in arms:
        raise UserError(f"{where}.target_arm", f"there is no arm {helper.target_arm!r}", f"one of: {', '.join(arms)}, {OWN}")
    if helper.seed not in config.arm_seeds(helper.target_arm):
        raise UserError(f"{where}.seed", f"{helper.target_arm} has no seed {helper.seed}", "take one of the experiment's seeds")


def _curve(config: Config, where: str) -> None:
    """A curve needs arms that are trained, and the loss that is its measure of damage."""
    if config.curve is None:
        return
    trained = [arm.name for arm in config.arms if isinstance(arm, TrainingArm)]
    for family in config.curve.families:
        unknown = sorted(set(family.arms) - set(trained))
        if unknown:
            raise UserError(
                f"{where}: curve.families.{family.name}",
                f"{unknown[0]!r} is no arm that is trained",
                f"some of: {', '.join(trained)}",
            )
    if not any(task.kind == "answer_loss" for task in config.tasks):
        raise UserError(
            f"{where}: curve",
            "no task measures held-out loss, the curve's measure of damage",
            "add a task of kind `answer_loss`",
        )


def _pools(config: Config, where: str) -> None:
    """A pool's models differ in their name and in the seed of their alignment, and in nothing else."""
    models = {model.name: model for model in config.models}
    pooled: set[str] = set()
    for pool in config.pools:
        key = f"{where}: pools.{pool.name}"
        if pool.name in models:
            raise UserError(key, "a model has this name", "give the pool another one")
        for name in pool.models:
            if name not in models:
                raise UserError(key, f"there is no model {name!r}", f"some of: {', '.join(models)}")
            if name in pooled:
                raise UserError(key, f"{name!r} is pooled twice", "list each model once")
            pooled.add(name)
        alike = {canonical(models[name].model_dump(mode="json", exclude={"name", "alignment_seed"})) for name in pool.models}
        if len(alike) > 1 or len({models[name].alignment_seed for name in pool.models}) < len(pool.models):
            raise UserError(
                key,
                "its models do not differ in `alignment_seed` alone",
                "give them the same entry but for `name` and `alignment_seed`",
            )


def _audit(config: Config, where: str) -> None:
    if config.audit is None:
        return
    models = [model.name for model in config.models]
    if config.audit.model not in models:
        raise UserError(f"{where}: audit.model", f"there is no model {config.audit.model!r}", f"one of: {', '.join(models)}")
    arms = config.arm_names(config.audit.model)
    if config.audit.arm not in arms:
        raise UserError(
            f"{where}: audit.arm", f"{config.audit.model} has no arm {config.audit.arm!r}", f"one of: {', '.join(arms)}"
        )
