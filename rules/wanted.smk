# What an experiment is to produce: every run, every file of each stage, tables, figures, and what they show of the config.
# Needs: common.smk. Makes: nothing.


def per_run(pattern):
    """`pattern` for every (model, arm, seed) that is measured."""
    return [pattern.format(results=RESULTS, model=m, arm=a, seed=s) for m, a, s in CONFIG.runs()]


def trained(pattern):
    """`pattern` for every (model, arm, seed) that we train."""
    runs = [run for run in CONFIG.runs() if run[1] in arms_of_kind(typed.TrainingArm)]
    return [pattern.format(results=RESULTS, model=m, arm=a, seed=s) for m, a, s in runs]


def utilities():
    """Every task on every run of the models that it is for."""
    return [f"{RESULTS}/utility/{task}/{m}/{a}/seed{s}.parquet" for task, m, a, s in tasked()]


def tasked():
    """Every (task, model, arm, seed)."""
    return [(task.name, *run) for task in CONFIG.tasks for run in CONFIG.runs() if typed.is_for(task, run[0])]


def attacked():
    """Every (attack, model, arm, seed): all attacks on all arms, and the direct request to the untouched model.

    Human RAP attacks the arms that somebody has worked on: sessions come after training.
    """
    runs = [(attack, *run) for attack in CONFIG.attacks for run in CONFIG.runs() if typed.is_for(attack, run[0])]
    runs = [(a.name, m, arm, s) for a, m, arm, s in runs if a.kind != "human" or session_files(a.sessions, m, arm, s)]
    if not STANDIN:  # there the untouched model is the base
        return runs
    direct = [attack for attack in CONFIG.attacks if attack.kind == "direct"]
    return runs + [(a.name, model, "untouched", 0) for a in direct for model in MODELS if typed.is_for(a, model)]


def graded(judges):
    """Every (judge, attack, model, arm, seed) of these judges."""
    return [(j, *run) for j in judges for run in attacked() if typed.is_graded(CONFIG.item("judges", j), run[0])]


def completions():
    """Every attack's table.

    Whoever takes thousands of files names them as paths, never as `rules.other.output` - Snakemake would hash the whole
    list once for each of its files.
    """
    return [f"{RESULTS}/attacks/{attack}/{m}/{a}/seed{s}.parquet" for attack, m, a, s in attacked()]


def grades(judges):
    """Every grades table of these judges."""
    return [f"{RESULTS}/grades/{judge}/{attack}/{m}/{a}/seed{s}.parquet" for judge, attack, m, a, s in graded(judges)]


def measured_ranks():
    return per_run("{results}/ranks/{model}/{arm}/seed{seed}.parquet")


def caused(ending="parquet"):
    """The causal test's tables."""
    runs = [run for run in CONFIG.runs() if CONFIG.causal_runs(*run)]
    return [f"{RESULTS}/causal/{m}/{a}/seed{s}.{ending}" for m, a, s in runs]


def ranked():
    """Attacks that pick from the target's ranks: they have a k."""
    return [attack.name for attack in CONFIG.attacks if attack.kind in ("guided", "autorap", "human")]


def searched():
    """Attacks that say what any picker could reach."""
    return [attack.name for attack in CONFIG.attacks if attack.kind == "oracle"]


def picked():
    """Attacks that somebody or something trained picks for."""
    return [attack.name for attack in CONFIG.attacks if attack.kind == "human" or getattr(attack, "helper", None)]


def helped():
    """Attacks whose picks a trained helper makes."""
    return [attack.name for attack in CONFIG.attacks if getattr(attack, "helper", None)]


def composed():
    """Every (model, arm, seed) whose top 20 is looked at - all, or those on which a helper is checked."""
    if CONFIG.composition:
        return CONFIG.runs()
    return list(dict.fromkeys((m, a, s) for attack, m, a, s in attacked() if attack in helped()))


def composition(ending="parquet"):
    """What each arm offers an attacker."""
    return [f"{RESULTS}/composition/{m}/{a}/seed{s}.{ending}" for m, a, s in composed()]


def candidates(ending="parquet"):
    """What a helper says to that."""
    runs = [run for run in attacked() if run[0] in helped()]
    return [f"{RESULTS}/candidates/{attack}/{m}/{a}/seed{s}.{ending}" for attack, m, a, s in runs]


def helpers():
    """Every helper that an attack asks for: its folder."""
    from types import SimpleNamespace as Wildcards

    asked = [(CONFIG.item("attacks", attack), Wildcards(model=m, arm=a, seed=s)) for attack, m, a, s in attacked()]
    return sorted({helper_folder(w, attack.helper) for attack, w in asked if getattr(attack, "helper", None)})


def refusals_of(model):
    """What refusals a model's arms are taught."""
    arms = [CONFIG.item("arms", name) for name in CONFIG.arm_names(model)]
    return sorted({arm.refusals for arm in arms if isinstance(arm, typed.TrainingArm)})


def triples():
    return [f"{RESULTS}/data/{m}/triples/{refusals}.parquet" for m in MODELS for refusals in refusals_of(m)]


def manifests():
    """Manifests of the jobs that touch a model."""
    paths = [f"{RESULTS}/models/{m}/{made}/seed0.manifest.json" for m in MODELS for made in sorted({FETCHED, "untouched"})]
    paths += [f"{RESULTS}/data/{m}/own.manifest.json" for m in MODELS if FACTS]
    paths += [f"{RESULTS}/data/{m}/answers.manifest.json" for m in MODELS]
    paths += per_run("{results}/models/{model}/{arm}/seed{seed}.manifest.json")
    paths += per_run("{results}/ranks/{model}/{arm}/seed{seed}.manifest.json")
    paths += [f"{helper}.manifest.json" for helper in helpers()]
    paths += composition("manifest.json") + candidates("manifest.json")
    paths += [path.replace(".parquet", ".manifest.json") for path in utilities()] + caused("manifest.json")
    paths += [path.replace(".parquet", ".manifest.json") for path in triples()]
    paths += [f"{RESULTS}/attacks/{a}/{m}/{arm}/seed{s}.manifest.json" for a, m, arm, s in attacked()]
    return paths + [f"{RESULTS}/grades/{j}/{a}/{m}/{arm}/seed{s}.manifest.json" for j, a, m, arm, s in graded(JUDGES)]


def first_of(kind):
    """Name of the first attack of a kind."""
    return next((a.name for a in CONFIG.attacks if a.kind == kind), None)


def primary_attacks():
    return {kind: first_of(kind) for kind in ("direct", "prefilling", "guided") if first_of(kind)}


def null_pair():
    """(variant, its null) of guided RAP; empty where the experiment has none.

    For dishes preferably without a prefill: theirs names the dish itself, so that its null knows what is wanted.
    """
    variants = CONFIG.item("attacks", first_of("guided")).variants() if first_of("guided") else []
    pairs = [[v, f"{v}_null"] for v in variants if f"{v}_null" in variants]
    wanted = "_prefill" if FACTS else "noprefill"
    return next((pair for pair in pairs if wanted in pair[0]), pairs[0] if pairs else [])


def rap():
    """(attack, variant) that stands for rank-assisted prefilling: guided RAP, else prefilling, else whatever comes first."""
    everywhere = [attack for attack in CONFIG.attacks if all(typed.is_for(attack, model) for model in MODELS)]
    kinds = [attack.name for kind in ("guided", "prefilling") for attack in everywhere if attack.kind == kind]
    name = kinds[0] if kinds else ATTACKS[0]
    return [name, CONFIG.item("attacks", name).variants()[0]]


def best_of_attacks():
    return [attack.name for attack in CONFIG.attacks if attack.best_of]


def entropy_sweep():
    """arm -> [arm of the headline, refusals], for arms that differ from one of the headline's in their refusals alone; empty without any."""
    arms = [arm for arm in CONFIG.arms if isinstance(arm, typed.TrainingArm)]
    series = {but_for_refusals(arm): arm.name for arm in arms if arm.name in CONFIG.headline}
    found = {a.name: [series[but_for_refusals(a)], a.refusals] for a in arms if but_for_refusals(a) in series}
    return found if len(found) > len(series) else {}


def but_for_refusals(arm):
    """What an arm is but for its name and its refusals, as text."""
    return typed.canonical(arm.model_dump(mode="json", exclude={"name", "refusals", *RUN_ONLY, *HOW}))


def methods():
    """Arm -> what was done to it, for figures that compare methods."""
    return {arm.name: methods_of.method(CONFIG, arm) for arm in CONFIG.arms}


def compares_methods():
    """Whether figures/price has something to compare: more trained arms than the headline's two, and a price."""
    return len([arm for arm in CONFIG.arms if isinstance(arm, typed.TrainingArm)]) > 2 and HELD_OUT


def judged_tasks():
    """What claims must know of tasks - those whose items lie in [0, 1], and the one whose held-out loss is the price of a difference."""
    return {
        "rates": [task.name for task in CONFIG.tasks if task.is_rate],
        "price": next((task.name for task in CONFIG.tasks if task.kind == "answer_loss"), None),
    }


def graders():
    """Judges whose scores say the same thing and can be compared."""
    return [judge.name for judge in CONFIG.judges if not getattr(judge, "is_control", False)]


def control():
    """The judge that says how likely a response is to the untouched model, if one does."""
    return next((judge.name for judge in CONFIG.judges if judge.kind == "likelihood"), None)


def shown():
    """The part of the config that tables and figures speak of."""
    return {
        "arms": {m: CONFIG.arm_names(m) for m in MODELS},
        "attacks": ATTACKS,
        "ranked": ranked(),
        "picked": picked(),
        "searched": searched(),
        "bounded": [attack for attack in ranked() if getattr(CONFIG.item("attacks", attack), "mode", None) != "reference"],
        "hub": {model.name: model.id for model in CONFIG.models if model.kind == "hub"},
        "tasks": {t.name: t.kind for t in CONFIG.tasks},
        "judge": DEFAULT_JUDGE,
        "graders": graders(),
        "headline": list(CONFIG.headline),
        "entropy_sweep": entropy_sweep(),
    }


def recorded():
    """The config as the manifest has it - without what a site or a person changes and no result knows; models by name."""
    config = CONFIG.model_dump(mode="json", exclude={"reply_store", "gpu_form", "keep_weights"})
    models = [{k: v for k, v in model.items() if k != "resources"} for model in config["models"]]
    return config | {"models": sorted(models, key=lambda model: model["name"])}


HELD_OUT = any(task.kind == "answer_loss" for task in CONFIG.tasks)
# What the analysis and the figures show, and where it lies.
FIGURE_NEEDS = {
    "pareto": ["scores", "utility"],
    "headline": ["comparisons"],
    "scores": ["scores"],
    "ranks": ["rank_curves"],
    "bits": ["bits", "bits_curves"],
    "attention": ["attention"],
    **({"sweeps": ["scores"]} if ranked() else {}),
    **({"autorap": ["scores"]} if picked() else {}),
    **({"reach": ["reach"]} if searched() else {}),
    **({"causal": ["causal"]} if caused() else {}),
    **({"entropy": ["targets", "ranks", "bits", "scores"]} if entropy_sweep() else {}),
    **({"seeds": ["seeds"]} if len(CONFIG.seeds) > 1 and HELD_OUT else {}),
    **({"price": ["bits", "utility"]} if compares_methods() else {}),
    **({"top20": ["composition_by_rank"]} if composed() else {}),
    **({"lengths": ["scores"]} if any(len(getattr(attack, "lengths", [])) > 1 for attack in CONFIG.attacks) else {}),
    **({"utility": ["utility"]} if TASKS else {}),
    **({"categories": ["categories"]} if not STANDIN else {}),  # the stand-ins' are single dishes and facts
    **({"judges": ["scores", "comparisons"]} if len(graders()) > 1 else {}),
    **({"training": ["training"]} if trained("") else {}),
}
TABLE_NAMES = [
    "checks",
    "scores",
    "comparisons",
    "ranks",
    "rank_curves",
    "first_tokens",
    "utility",
    "utility_categories",
    "attention",
    "training",
]
TABLE_NAMES += [
    "exclusions",
    "helpers",
    "composition",
    "candidates",
    "judges",
    "examples",
    "failures",
    "categories",
    "composition_by_rank",
    "bits",
    "bits_curves",
    "reach",
    "causal",
    "targets",
    "matched",
    "seeds",
]
LABELLED_JUDGE = next(
    (judge.name for judge in CONFIG.judges if judge.kind == "standin" and judge.attacks is None), None
)  # the one that hand labels are for
TABLES = expand(
    f"{RESULTS}/tables/{{table}}.csv", table=TABLE_NAMES + (["judge_agreement", "corrected"] if LABELLED_JUDGE else [])
)
TABLES.append(f"{RESULTS}/tables/headline.txt")
FIGURES = expand(f"{RESULTS}/figures/{{figure}}.{{ending}}", figure=FIGURE_NEEDS, ending=["pdf", "png"])
DEFAULT_JUDGE = CONFIG.default_judge
