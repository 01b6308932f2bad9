"""What an experiment is to produce: every run, and every file of each stage."""

from presto_bench import config as typed
from presto_bench.runs.inputs import Inputs


class Wanted(Inputs):
    """Lists of the files to produce. A rule with thousands of inputs names them as paths (see `completions`)."""

    def per_run(self, pattern):
        """`pattern` for every (model, arm, seed) that is measured."""
        return [pattern.format(results=self.results, model=m, arm=a, seed=s) for m, a, s in self.config.runs()]

    def trained(self, pattern):
        """`pattern` for every (model, arm, seed) that we train."""
        runs = [run for run in self.config.runs() if run[1] in self.arms_of_kind(typed.TrainingArm)]
        return [pattern.format(results=self.results, model=m, arm=a, seed=s) for m, a, s in runs]

    def source_entropies(self, ending="parquet"):
        """The next token's entropy behind a source's harmful answers, of every run; nothing where no source is named."""
        if not self.config.harm.entropies or self.is_standin:
            return []
        return self.per_run(f"{{results}}/source_entropy/{{model}}/{{arm}}/seed{{seed}}.{ending}")

    def jailbroken(self):
        """Metrics of the arms that were trained on published harmful answers."""
        arms = [name for name in self.arms_of_kind(typed.FinetunedArm) if self.config.item("arms", name).examples]
        runs = [run for run in self.config.runs() if run[1] in arms]
        return [f"{self.results}/models/{m}/{a}/seed{s}.metrics.jsonl" for m, a, s in runs]

    def hub_checkpoints(self):
        """Finished models of the hub that are compared as arms."""
        arms = [self.config.item("arms", name) for name in self.arms_of_kind(typed.CheckpointArm)]
        return [f"{self.results}/models/{arm.of}/{arm.name}/seed0" for arm in arms if arm.id]

    def utilities(self):
        """Every task on every run of the models that it is for."""
        return [f"{self.results}/utility/{task}/{m}/{a}/seed{s}.parquet" for task, m, a, s in self.tasked()]

    def tasked(self):
        """Every (task, model, arm, seed)."""
        return [(task.name, *run) for task in self.config.tasks for run in self.config.runs() if typed.is_for(task, run[0])]

    def attacked(self):
        """Every (attack, model, arm, seed): all attacks on all arms, and the direct request to the untouched model.

        Human RAP attacks the arms that somebody has worked on: sessions come after training.
        """
        runs = [(attack, *run) for attack in self.config.attacks for run in self.config.runs() if typed.is_for(attack, run[0])]
        runs = [(a.name, m, arm, s) for a, m, arm, s in runs if a.kind != "human" or self.session_files(a.sessions, m, arm, s)]
        if not self.is_standin:  # there the untouched model is the base
            return runs
        direct = [attack for attack in self.config.attacks if attack.kind == "direct"]
        return runs + [(a.name, model, "untouched", 0) for a in direct for model in self.models if typed.is_for(a, model)]

    def graded(self, judges):
        """Every (judge, attack, model, arm, seed) of these judges."""
        return [(j, *run) for j in judges for run in self.attacked() if typed.is_graded(self.config.item("judges", j), run[0])]

    def completions(self):
        """Every attack's table.

        A rule that reads thousands of files names them as paths, never as `rules.other.output` - Snakemake would hash
        the whole list once per file.
        """
        return [f"{self.results}/attacks/{attack}/{m}/{a}/seed{s}.parquet" for attack, m, a, s in self.attacked()]

    def grades(self, judges):
        """Every grades table of these judges."""
        return [
            f"{self.results}/grades/{judge}/{attack}/{m}/{a}/seed{s}.parquet" for judge, attack, m, a, s in self.graded(judges)
        ]

    def measured_ranks(self):
        return self.per_run("{results}/ranks/{model}/{arm}/seed{seed}.parquet")

    def caused(self, ending="parquet"):
        """The causal test's tables."""
        runs = [run for run in self.config.runs() if self.config.causal_runs(*run)]
        return [f"{self.results}/causal/{m}/{a}/seed{s}.{ending}" for m, a, s in runs]

    def composed(self):
        """Every (model, arm, seed) whose top 20 is looked at - all, or those on which a helper is checked."""
        if self.config.composition:
            return self.config.runs()
        return list(dict.fromkeys((m, a, s) for attack, m, a, s in self.attacked() if attack in self.helped()))

    def composition(self, ending="parquet"):
        """What each arm offers an attacker."""
        return [f"{self.results}/composition/{m}/{a}/seed{s}.{ending}" for m, a, s in self.composed()]

    def candidates(self, ending="parquet"):
        """What a helper says to that."""
        runs = [run for run in self.attacked() if run[0] in self.helped()]
        return [f"{self.results}/candidates/{attack}/{m}/{a}/seed{s}.{ending}" for attack, m, a, s in runs]

    def helpers(self):
        """Every helper that an attack asks for: its folder."""
        from types import SimpleNamespace as Wildcards

        asked = [
            (self.config.item("attacks", attack), Wildcards(model=m, arm=a, seed=s)) for attack, m, a, s in self.attacked()
        ]
        return sorted({self.helper_folder(w, attack.helper) for attack, w in asked if getattr(attack, "helper", None)})

    def refusals_of(self, model):
        """What refusals a model's arms are taught."""
        arms = [self.config.item("arms", name) for name in self.config.arm_names(model)]
        return sorted({arm.refusals for arm in arms if isinstance(arm, typed.TrainingArm)})

    def triples(self):
        return [f"{self.results}/data/{m}/triples/{refusals}.parquet" for m in self.models for refusals in self.refusals_of(m)]

    def manifests(self):
        """Manifests of the jobs that touch a model."""
        paths = [
            f"{self.results}/models/{m}/{made}/seed0.manifest.json"
            for m in self.models
            for made in sorted({self.fetched, "untouched"})
        ]
        paths += [f"{self.results}/data/{m}/own.manifest.json" for m in self.models if self.is_facts]
        paths += [f"{self.results}/data/{m}/answers.manifest.json" for m in self.models]
        paths += self.per_run("{results}/models/{model}/{arm}/seed{seed}.manifest.json")
        paths += self.per_run("{results}/ranks/{model}/{arm}/seed{seed}.manifest.json")
        paths += [f"{helper}.manifest.json" for helper in self.helpers()]
        paths += [f"{self.helper_parent(None)}.manifest.json"] if self.config.helper.model and self.helpers() else []
        paths += self.composition("manifest.json") + self.candidates("manifest.json")
        paths += [path.replace(".parquet", ".manifest.json") for path in self.utilities()] + self.caused("manifest.json")
        paths += [path.replace(".parquet", ".manifest.json") for path in self.triples()]
        paths += self.attack_manifests() + self.source_entropies("manifest.json")
        return paths + [
            f"{self.results}/grades/{j}/{a}/{m}/{arm}/seed{s}.manifest.json" for j, a, m, arm, s in self.graded(self.judges)
        ]

    def attack_manifests(self):
        """Manifests of the jobs that asked what is held out."""
        return [f"{self.results}/attacks/{a}/{m}/{arm}/seed{s}.manifest.json" for a, m, arm, s in self.attacked()]

    def ranked(self):
        """Attacks that pick from the target's ranks: they have a k."""
        return [attack.name for attack in self.config.attacks if attack.kind in ("guided", "autorap", "human")]

    def searched(self):
        """Attacks that say what any picker could reach."""
        return [attack.name for attack in self.config.attacks if attack.kind == "oracle"]

    def picked(self):
        """Attacks that somebody or something trained picks for."""
        return [attack.name for attack in self.config.attacks if attack.kind == "human" or getattr(attack, "helper", None)]

    def helped(self):
        """Attacks whose picks a trained helper makes."""
        return [attack.name for attack in self.config.attacks if getattr(attack, "helper", None)]
