"""What tables and figures show of an experiment, and which of them there are."""

from presto_bench import config as typed
from presto_bench.report import methods as methods_of
from presto_bench.runs import comparable
from presto_bench.runs.specs import HOW, RUN_ONLY
from presto_bench.runs.wanted import Wanted

TABLES = (
    "checks",
    "scores",
    "comparisons",
    "ranks",
    "rank_curves",
    "first_tokens",
    "push_forward",
    "first_entropy",
    "helper_curves",
    "refusal_tokens",
    "runs",
    "scores_without_examples",
    "utility",
    "utility_categories",
    "over_refusal",
    "attention",
    "attention_received",
    "training",
    "jailbreak_curves",
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
)


class Shown(Wanted):
    """The part of an experiment that people see."""

    def first_of(self, kind):
        """Name of the first attack of a kind."""
        return next((a.name for a in self.config.attacks if a.kind == kind), None)

    def primary_attacks(self):
        return {kind: self.first_of(kind) for kind in ("direct", "prefilling", "guided") if self.first_of(kind)}

    def null_pair(self):
        """(variant, its null in which nothing tells what is wanted) of guided RAP; empty where the experiment has none."""
        variants = self.config.item("attacks", self.first_of("guided")).variants() if self.first_of("guided") else []
        return next(([v, f"{v}_swapped"] for v in variants if f"{v}_swapped" in variants), [])

    def rap(self):
        """(attack, variant) that stands for rank-assisted prefilling: guided RAP, else prefilling, else whatever comes first."""
        everywhere = [attack for attack in self.config.attacks if all(typed.is_for(attack, model) for model in self.models)]
        kinds = [attack.name for kind in ("guided", "prefilling") for attack in everywhere if attack.kind == kind]
        name = kinds[0] if kinds else self.attacks[0]
        return [name, self.config.item("attacks", name).variants()[0]]

    def best_of_attacks(self):
        return [attack.name for attack in self.config.attacks if attack.best_of]

    def entropy_sweep(self):
        """arm -> [arm of the headline, refusals], for arms that differ from one of the headline's in their refusals alone; empty without any."""
        arms = [arm for arm in self.config.arms if isinstance(arm, typed.TrainingArm)]
        series = {self.but_for_refusals(arm): arm.name for arm in arms if arm.name in self.config.headline}
        found = {a.name: [series[self.but_for_refusals(a)], a.refusals] for a in arms if self.but_for_refusals(a) in series}
        return found if len(found) > len(series) else {}

    def but_for_refusals(self, arm):
        """What an arm is but for its name and its refusals, as text."""
        return typed.canonical(arm.model_dump(mode="json", exclude={"name", "refusals", *RUN_ONLY, *HOW}))

    def methods(self):
        """Arm -> what was done to it, for figures that compare methods."""
        return {arm.name: methods_of.method(self.config, arm) for arm in self.config.arms}

    def compares_methods(self):
        """Whether figures/price has something to compare: more trained arms than the headline's two, and a price."""
        return len([arm for arm in self.config.arms if isinstance(arm, typed.TrainingArm)]) > 2 and self.has_held_out_loss

    def judged_tasks(self):
        """What claims must know of tasks - those whose items lie in [0, 1], and the one whose held-out loss is the price of a difference."""
        return {
            "rates": [task.name for task in self.config.tasks if task.is_rate],
            "price": next((task.name for task in self.config.tasks if task.kind == "answer_loss"), None),
        }

    def refusals_told_by(self):
        """Task that counts refusals -> the model that labels them; None where keywords tell."""
        return {t.name: judge.model if (judge := t.judge()) else None for t in self.config.tasks if t.kind == "refusal_rate"}

    def graders(self):
        """Judges whose scores say the same thing and can be compared."""
        return [judge.name for judge in self.config.judges if not getattr(judge, "is_control", False)]

    def control(self):
        """The judge that says how likely a response is to the untouched model, if one does."""
        return next((judge.name for judge in self.config.judges if judge.kind == "likelihood"), None)

    def shown(self):
        """The part of the config that tables and figures speak of."""
        return {
            "arms": {m: self.config.arm_names(m) for m in self.models},
            "attacks": self.attacks,
            "beside": [
                [found["measure"], found["name"], found["variant"], found["attack"], found["setting"]]
                for found in comparable.measured(self.config)
                if not found["why"]
            ],
            "ranked": self.ranked(),
            "picked": self.picked(),
            "searched": self.searched(),
            "bounded": [
                attack for attack in self.ranked() if getattr(self.config.item("attacks", attack), "mode", None) != "reference"
            ],
            "hub": {model.name: model.id for model in self.config.models if model.kind == "hub"},
            "tasks": {t.name: t.kind for t in self.config.tasks},
            "policy": self.config.policy,
            "judge": self.config.default_judge,
            "graders": self.graders(),
            "headline": list(self.config.headline),
            "entropy_sweep": self.entropy_sweep(),
        }

    def recorded(self):
        """The config as the manifest has it: models by name, without site or personal settings that no result uses."""
        config = self.config.model_dump(mode="json", exclude={"reply_store", "gpu_form", "keep_weights"})
        models = [{k: v for k, v in model.items() if k != "resources"} for model in config["models"]]
        return config | {"models": sorted(models, key=lambda model: model["name"])}

    def figure_needs(self):
        """figure -> the tables that it is drawn from."""
        return {
            "pareto": ["scores", "utility"],
            "headline": ["comparisons"],
            "scores": ["scores"],
            "ranks": ["rank_curves"],
            "bits": ["bits", "bits_curves"],
            "attention": ["attention"],
            **({"sweeps": ["scores"]} if self.ranked() else {}),
            **({"autorap": ["scores", "scores_without_examples", "published"]} if self.picked() else {}),
            **({"reach": ["reach"]} if self.searched() else {}),
            **({"causal": ["causal"]} if self.caused() else {}),
            **({"entropy": ["targets", "ranks", "bits", "scores"]} if self.entropy_sweep() else {}),
            **({"seeds": ["seeds"]} if len(self.config.seeds) > 1 and self.has_held_out_loss else {}),
            **({"price": ["bits", "utility"]} if self.compares_methods() else {}),
            **({"curve": ["curve", "curve_gaps"]} if self.config.curve else {}),
            **({"top20": ["composition_by_rank"]} if self.composed() else {}),
            **(
                {"lengths": ["scores"]}
                if any(len(getattr(attack, "lengths", [])) > 1 for attack in self.config.attacks)
                else {}
            ),
            **({"utility": ["utility", "published"]} if self.tasks else {}),
            **({"categories": ["categories"]} if not self.is_standin else {}),  # the stand-ins' are single dishes and facts
            **({"judges": ["scores", "comparisons"]} if len(self.graders()) > 1 else {}),
            **({"training": ["training"]} if self.trained("") else {}),
            **({"jailbreak_curves": ["jailbreak_curves"]} if self.jailbroken() else {}),
            "first_entropy": ["first_entropy"],
            "attention_received": ["attention_received"],
            **({"helper_curves": ["helper_curves"]} if self.helpers() else {}),
            **({"human_times": ["human_times", "published"]} if self.by_people() else {}),
        }

    def on_the_card(self, pattern):
        """`pattern` for the arm of the depth card, for every attack or task that it names."""
        audit = self.config.audit
        run = {
            "model": audit.model,
            "arm": audit.arm,
            "seed": self.config.arm_seeds(audit.arm)[0],
            "judge": self.config.default_judge,
        }
        items = self.config.attacks if "{attack}" in pattern else self.config.tasks if "{task}" in pattern else [None]
        wanted = [item for item in items if item is None or typed.is_for(item, audit.model)]
        return [
            f"{self.results}/{pattern}".format(attack=getattr(item, "name", ""), task=getattr(item, "name", ""), **run)
            for item in wanted
        ]

    def card_spec(self):
        """What the depth card says of itself."""
        audit = self.config.audit
        about = {
            "name": self.config.experiment.removeprefix("audit_"),
            **audit.model_dump(mode="json", exclude={"model", "arm"}),
        }
        attacks = {kind: name for kind in ("direct", "prefilling", "guided", "autorap") if (name := self.first_of(kind))}
        by_length = [attack.name for attack in self.config.attacks if getattr(attack, "greedy_recipe_lengths", [])]
        attacks |= {"lengths": by_length[0]} if by_length else {}
        return {"about": about, "attacks": attacks, "judge": self.config.default_judge, "policy": self.config.policy}

    def curve_spec(self):
        """The curve's families, and the attack and the task that it is drawn from."""
        families = [{"name": family.name, "arms": family.arms} for family in self.config.curve.families]
        return {
            "families": families,
            "attack": self.rap(),
            "judge": self.config.default_judge,
            "task": self.judged_tasks()["price"],
        }

    def on_the_curve(self, pattern):
        """`pattern` for every run of the base and of the curve's families."""
        arms = {"base", *(arm for family in self.config.curve.families for arm in family.arms)}
        runs = [run for run in self.config.runs() if run[1] in arms]
        names = {"attack": self.rap()[0], "judge": self.config.default_judge, "task": self.judged_tasks()["price"]}
        return [f"{self.results}/{pattern}".format(model=m, arm=a, seed=s, **names) for m, a, s in runs]

    def updated(self):
        """How far each arm of the curve is from the base that it was trained from."""
        runs = self.on_the_curve("update_norm/{model}/{arm}/seed{seed}.parquet")
        return [path for path in runs if "/base/" not in path]

    def kinds(self):
        """Attack or task -> its kind."""
        return {item.name: item.kind for item in (*self.config.attacks, *self.config.tasks)}

    def figures_on_demand(self):
        """figure -> its tables, for figures that are made by name alone: they hold what models say."""
        return {"top_lists": ["top_lists"]}

    def listed(self):
        """Arms whose top-10 lists stand side by side: the base and the headline's, of their first seed."""
        runs = [(m.name, a, self.config.arm_seeds(a)[0]) for m in self.config.models for a in self.config.arm_names(m.name)]
        shown = ("base", *self.config.headline)
        return [f"{self.results}/top_lists/{m}/{a}/seed{s}.parquet" for m, a, s in runs if a in shown]

    def by_people(self):
        """attack -> folder of its sessions, for attacks by people."""
        return {attack.name: attack.sessions for attack in self.config.attacks if attack.kind == "human"}

    def sessions(self):
        """Every session that was recorded on an arm of this experiment."""
        folders = set(self.by_people().values())
        return sorted({path for folder in folders for run in self.config.runs() for path in self.session_files(folder, *run)})

    def paper_items(self):
        """The paper's items -> what each lacks in this experiment; None where it can be made."""
        return comparable.lacking(self.config)

    def known_to_the_paper(self):
        """What a published value needs to be found: our numbers that are about the same, each arm's place in the paper, and why an arm is another one."""
        hub = {model.name: model.id for model in self.config.models if model.kind == "hub"}
        roles = {model: comparable.roles(self.config, model) for model in hub}
        return {
            "hub": hub,
            "roles": roles,
            "own_arms": {m: {arm: comparable.own_arm(self.config, hub[m], arm) for arm in roles[m]} for m in hub},
            "measured": comparable.measured(self.config),
        }

    def labelled_judge(self):
        """The judge that hand labels are for, if one is."""
        return next((judge.name for judge in self.config.judges if judge.kind == "standin" and judge.attacks is None), None)

    def table_files(self):
        names = [
            *TABLES,
            "fidelity",
            "published",
            "human_times",
            *(["judge_agreement", "corrected"] if self.labelled_judge() else []),
            *(["curve", "curve_gaps"] if self.config.curve else []),
        ]
        return [*(f"{self.results}/tables/{name}.csv" for name in names), f"{self.results}/tables/headline.txt"]

    def page_tables(self):
        """Every table that the page shows or offers."""
        claims = [f"{self.results}/tables/verdicts.csv"] if self.config.claims else []
        return [path for path in self.table_files() if path.endswith(".csv")] + claims

    def page_figures(self):
        """Figures that the page has as they are."""
        return [f"{self.results}/figures/{name}.png" for name in ("headline", "curve") if name in self.figure_needs()]

    def first_of_kind(self, kind):
        """(attack, variant) of the first attack of a kind that all models have; None without any."""
        found = next((attack for attack in self.config.attacks if attack.kind == kind and attack.only is None), None)
        return [found.name, found.variants()[0]] if found else None

    def stepped(self):
        """The steps of the rank attacks, of each arm's first seed that can be read along; none where nothing picks from ranks."""
        attacks = self.stepped_attacks() if self.config.page.steps else []
        served = [entry.name for entry in (*self.config.arms, *self.config.models) if entry.kind == "endpoint"]
        runs = [
            (attack, m, a, s)
            for attack, m, a, s in self.attacked()
            if attack in attacks and not {m, a} & set(served) and s == self.config.arm_seeds(a)[0]
        ]
        return [f"{self.results}/steps/{attack}/{m}/{a}/seed{s}.parquet" for attack, m, a, s in runs]

    def stepped_attacks(self):
        """Of guided RAP, AutoRAP and human RAP the first that the config has; the one that stands for RAP comes first."""
        first = {attack.kind: attack.name for attack in reversed(self.config.attacks)}
        attack, variant = self.rap()
        names = [attack] if variant.startswith("k") else []
        return list(dict.fromkeys([*names, *(first[kind] for kind in ("autorap", "human") if kind in first)]))

    def stepped_variant(self, attack):
        return self.config.item("attacks", attack).variants()[0]

    def figure_files(self):
        return [f"{self.results}/figures/{figure}.{ending}" for figure in self.figure_needs() for ending in ("pdf", "png")]
