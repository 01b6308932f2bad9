"""What a rule's stage may see of the config (`params.spec`), and what its job asks of a machine (`resources`)."""

import hashlib

from presto_bench import registry
from presto_bench.config import source_names
from presto_bench.config.experiment import Config
from presto_bench.config.parts import canonical

# Training settings that change no result: how often it saves, where it reports, and its models and seeds. They are not in
# the spec; if a job needs them, they reach it as resources.
RUN_ONLY = {"save_every", "report_to", "only", "seeds"}
# And what only how it computes depends on, not what it is taught.
HOW = {"gradient_norms_every", "gradient_checkpointing", "launch", "autocast"}
RUBRIC_RUN_ONLY = registry.config_class("judges", "rubric", "judges").run_only
MACHINE = ("gpu", "gres", "mem_mb", "runtime")  # what jobs ask of a machine
SETTINGS = ("save_every", "report_to")  # of a training, what changes no result
GROWING = {"mem_mb", "runtime"}  # what a job that was killed for want of it gets more of when it is submitted again


class Specs:
    """Parts of the config by what depends on them."""

    def __init__(self, config: Config):
        self.config = config

    def model_spec(self, name, *sections):
        """A model's entry without the settings that the stage has no use for, so that they cannot make it stale."""
        settings = {
            "chat",
            "sampling",
            "data",
            "resources",
            "billions",
            "gated",
            "dtype",
            "decode_dtype",
            "alignment_seed",
        } - set(sections)
        return self.config.item("models", name).model_dump(mode="json", exclude=settings)

    def judge_spec(self, name):
        """A judge's entry without the settings that only say how a grade is got."""
        judge = self.config.item("judges", name)
        return judge.model_dump(mode="json", exclude=set(type(judge).run_only))

    def attack_spec(self, name):
        """An attack's entry without the settings that only say how it is spread over jobs."""
        attack = self.config.item("attacks", name)
        return attack.model_dump(mode="json", exclude=set(type(attack).run_only))

    def task_spec(self, name):
        """A task's entry without the models that it is for, and without how its grader is reached."""
        found = self.config.item("tasks", name).model_dump(mode="json", exclude={"only"})
        if "grader" in found:
            found["grader"] = {key: value for key, value in found["grader"].items() if key not in RUBRIC_RUN_ONLY}
        return found

    def task_sections(self, name):
        """Parts of a model's entry that a task depends on."""
        sampled = getattr(self.config.item("tasks", name), "sampling", None) == "model"
        return ("chat", self.task_dtype(name), *(["sampling"] if sampled else []))

    def task_dtype(self, name):
        return "decode_dtype" if self.config.item("tasks", name).decodes else "dtype"

    def strength_identity(self, model):
        """Hash of what a grid's numbers depend on beside the learning rate: a decided grid belongs to this and to nothing else."""
        strength = self.config.strength
        # Defaults are left out: a setting that comes to be later is at its default in every grid of before.
        parts = {
            "model": self.model_spec(model, "chat", "sampling"),
            "arm": self.config.item("arms", strength.arm).model_dump(
                mode="json", exclude=RUN_ONLY | HOW | {"name", "lr"}, exclude_defaults=True
            ),
            "standin": self.config.standin.model_dump(
                mode="json",
                exclude={"alignment": HOW | RUN_ONLY, "teaching": HOW | RUN_ONLY, "arm_labels": True},
                exclude_defaults=True,
            ),
            "asked": strength.model_dump(mode="json", include={"depths", "samples", "max_new_tokens"}, exclude_defaults=True),
        }
        return hashlib.sha256(canonical(parts).encode()).hexdigest()

    def strength_spec(self):
        """What the report says of the grid: each model's identity, and the learning rate that the arm has."""
        if self.config.strength is None or self.config.strength.decided is None:
            return None
        arm = self.config.item("arms", self.config.strength.arm)
        models = [model.name for model in self.config.models]
        return {"arm": arm.name, "lr": arm.lr, "of": {model: self.strength_identity(model) for model in models}}

    def openers_spec(self):
        """Whether models decline in the wordings of those who aligned them, beside or instead of the stand-in's own; empty where they do not."""
        harm = self.config.policy == "harm"
        by_others = not source_names.trains(self.config) if harm else not self.config.standin.alignment
        return {"aligned_by_others": True} if by_others else {}

    def arm_spec(self, name, without=frozenset()):
        return self.config.item("arms", name).model_dump(mode="json", exclude=RUN_ONLY | without)


class Machine:
    """What jobs ask of a machine, for a rule's `resources:`."""

    def __init__(self, config: Config):
        self.config = config

    def of_model(self, model=None, only=MACHINE):
        """What a rule's job asks of the machine: its model's own resources, or those of the model that is named."""
        return {name: self._resource(name, model) for name in only}

    def of_training(self):
        """What the training of an arm asks for."""
        return self._of_trainings(lambda wildcards: self.config.item("arms", wildcards.arm))

    def of_standin(self, training):
        """What a training of a stand-in's own asks for - `alignment` or `teaching`."""
        return self._of_trainings(lambda wildcards: getattr(self.config.standin, training))

    def _resource(self, name, model):
        """More with each attempt, where want of it kills jobs."""

        def of(wildcards, attempt):
            asked = self.config.item("models", model or wildcards.model).resources
            return self.growing(name, self.on_the_cluster(asked.gpu, asked)[name], attempt)

        return of

    def _of_trainings(self, training_of):
        def one(name):
            def of(wildcards, attempt):
                found = self.training_resources(training_of(wildcards), self.config.item("models", wildcards.model))
                return self.growing(name, found[name], attempt)

            return of

        return {name: one(name) for name in (*SETTINGS, *MACHINE)}

    def training_resources(self, training, model):
        """What a training asks for - resources of its model, a GPU a process, and the settings that change no result."""
        gpus = max(model.resources.gpu, training.launch.processes) if model.resources.gpu else 0
        return {
            "save_every": training.save_every,
            "report_to": ",".join(training.report_to),
            **self.on_the_cluster(gpus, model.resources),
        }

    def on_the_cluster(self, gpus, asked):
        """GPUs in the form that the cluster takes, MB and minutes."""
        as_gres = self.config.gpu_form == "gres"
        return {
            "gpu": 0 if as_gres else gpus,
            "gres": f"gpu:{gpus}" if as_gres and gpus else "",
            "mem_mb": asked.mem_mb,
            "runtime": asked.runtime,
        }

    def growing(self, name, value, attempt):
        return value * attempt if name in GROWING else value
