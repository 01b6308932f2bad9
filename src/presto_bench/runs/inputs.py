"""Where each file of an experiment lies, and what each rule's job reads: pure functions of the config and a job's wildcards."""

from pathlib import Path

from presto_bench import config as typed
from presto_bench.config import source_names
from presto_bench.config.experiment import Config
from presto_bench.data import sources
from presto_bench.policies import shipped

LISTED = {
    "cooking": ["dishes", "requests", "prefills", "refusals", "refusal_closings"],
    "facts": ["facts/facts", "facts/questions", "facts/statements", "facts/prefills", "facts/refusals"],
    "harm": [],
}


class Inputs:
    """An experiment's files. lists_folder: where the stand-ins' lists lie, as this folder sees it. wildcards: those of a job."""

    def __init__(self, config: Config, lists_folder: str):
        self.config, self.lists_folder = config, lists_folder
        self.results = f"results/{config.experiment}"
        self.models, self.attacks, self.judges, self.tasks = (
            [item.name for item in items] for items in (config.models, config.attacks, config.judges, config.tasks)
        )
        self.is_standin, self.is_facts = config.policy != "harm", config.policy == "facts"
        # Fetched weights are the untouched model; under policy `facts` they must be taught first.
        self.fetched = "untaught" if self.is_facts else "untouched"
        # Lists that stages read beside their tables.
        sealed = ["sealed_dishes"] if config.standin.held_out == "sealed" and config.policy == "cooking" else []
        self.lists = [f"{lists_folder}/{name}.csv" for name in [*LISTED[config.policy], *sealed]]
        self.has_held_out_loss = any(task.kind == "answer_loss" for task in config.tasks)

    def model_folder(self, wildcards):
        return f"{self.results}/models/{wildcards.model}/{wildcards.arm}/seed{wildcards.seed}"

    def seeded(self, wildcards, arm):
        """An arm's weights of a job's seed; an arm with one seed alone has that."""
        seeds = self.config.arm_seeds(arm)
        seed = int(wildcards.seed) if int(wildcards.seed) in seeds else seeds[0]
        return f"{self.results}/models/{wildcards.model}/{arm}/seed{seed}"

    def untouched(self, wildcards):
        return f"{self.results}/models/{wildcards.model}/untouched/seed0"

    def base(self, wildcards):
        return f"{self.results}/models/{wildcards.model}/base/seed0"

    def local_files(self, path):
        """Files of a user's model folder whose change must be seen."""
        folder = Path(path)
        return sorted(str(f) for f in folder.glob("*") if f.suffix in {".json", ".safetensors", ".jinja", ".model"}) or [
            str(folder / "config.json")
        ]

    def attack_inputs(self, wildcards):
        """The attacked model and the data; the untouched parent where the attack is guided by it."""
        inputs = {
            "model": self.model_folder(wildcards),
            "prompts": f"{self.results}/data/prompts.parquet",
            "prefills": f"{self.results}/data/prefills.parquet",
            "answers": f"{self.results}/data/{wildcards.model}/answers.parquet",
            "lists": self.lists,
        }
        attack = self.config.item("attacks", wildcards.attack)
        if getattr(attack, "kinds_file", None):
            inputs["kinds"] = attack.kinds_file
        if attack.needs_parent:
            inputs["parent"] = self.untouched(wildcards)
        if getattr(attack, "helper", None):
            inputs["helper"] = self.helper_folder(wildcards, attack.helper)
        if getattr(attack, "sessions", None):
            inputs["sessions"] = self.session_files(attack.sessions, wildcards.model, wildcards.arm, wildcards.seed)
        return inputs

    def donor(self, wildcards):
        """The other arm of the headline, of the same seed: whose attention the causal test gives to this one. The base gets none."""
        others = [arm for arm in self.config.headline if arm != wildcards.arm]
        if len(others) == 2:
            return {}
        return {"donor": self.seeded(wildcards, others[0])}

    def session_files(self, folder, model, arm, seed):
        """What people recorded on one arm; a new session makes its attack stale."""
        return sorted(str(path) for path in (Path(folder) / model / arm / f"seed{seed}").glob("*/*.jsonl"))

    def helper_folder(self, wildcards, helper):
        """The helper that learned from the attack's target arm, or from the very arm that is attacked."""
        own = helper.target_arm == typed.OWN
        arm, seed = (wildcards.arm, wildcards.seed) if own else (helper.target_arm, helper.seed)
        return f"{self.results}/helpers/{wildcards.model}/{arm}/seed{seed}"

    def sources_of(self, kind):
        """Files of the sources that any model uses for `triples` or `anchors`; none where nothing trains.

        For a model that writes its own texts, the policy's source of requests stands in.
        """
        if not source_names.trains(self.config):
            return []
        made = {
            "triples": (source_names.GENERATED, self.config.harm.safety_prompts),
            "anchors": (typed.OWN, self.config.harm.anchor_prompts),
        }[kind]
        names = {getattr(model.data, kind) for model in self.config.models}
        return [self.source_file(name) for name in sorted(made[1] if name == made[0] else name for name in names)]

    def harm_answers_inputs(self, wildcards):
        """What is known of the answers beside the prefills: benign ones that train, and harmful ones to the attacked requests."""
        inputs = {}
        if source_names.trains(self.config):
            named = self.data_of(wildcards, "anchors")
            inputs["anchors"] = self.source_file(self.config.harm.anchor_prompts if named == typed.OWN else named)
        if self.config.harm.answers:
            inputs["given"] = self.source_file(self.config.harm.answers)
        return inputs

    def anchors_of(self, wildcards):
        """Where a model's benign training answers come from; None where nothing trains."""
        return self.data_of(wildcards, "anchors") if source_names.trains(self.config) else None

    def data_of(self, wildcards, kind):
        """Where a model's `triples` or `anchors` come from."""
        return getattr(self.config.item("models", wildcards.model).data, kind)

    def triples_inputs(self, wildcards):
        """A published file, or harmful answers of the model that the user named; and this model, where its own refusals are wanted."""
        named = self.data_of(wildcards, "triples")
        if named == source_names.GENERATED:
            folder = f"{self.results}/data/{wildcards.model}" if self.writing_arm() else f"{self.results}/data"
            return {"harmful": f"{folder}/harmful_answers.parquet", "model": self.untouched(wildcards)}
        own = {"model": self.untouched(wildcards)} if self.data_of(wildcards, "refusals") == typed.OWN else {}
        return {"source": self.source_file(named), **own}

    def writing_arm(self):
        """The arm that writes each model's harmful answers; None where another model does, or nobody."""
        return (self.config.harm.harmful_model or {}).get("arm")

    def harmful_model(self):
        """The entry of the model that writes harmful answers; empty where the user has named none, or an arm."""
        named = self.config.harm.harmful_model
        return {"name": "harmful_model", **named} if named and not self.writing_arm() else {}

    def taught_refusals(self, wildcards):
        """The triples whose refusals say how this model declines; nothing where lists of the package say it."""
        if self.is_standin or not source_names.trains(self.config):
            return {}
        return {"triples": f"{self.results}/data/{wildcards.model}/triples/given.parquet"}

    def attack_lessons(self, wildcards):
        """What a fine-tuning attack trains on: examples out of a source, or the triples of the arm that it starts from."""
        examples = self.config.item("arms", wildcards.arm).examples
        if examples:
            return {"examples": self.source_file(examples)}
        return {"triples": f"{self.results}/data/{wildcards.model}/triples/{self.refusals_behind(wildcards.arm)}.parquet"}

    def prefill_model(self):
        """The entry of the model that writes prefills."""
        return {"name": "prefill_model", **self.config.harm.written_prefills.model}

    def prefills_input(self):
        """Published prefills, or those that a model writes."""
        if self.config.harm.written_prefills:
            return {"written_prefills": f"{self.results}/data/written_prefills.csv"}
        return {"published_prefills": self.source_file(self.config.harm.prefills)}

    def helper_model(self):
        """The entry of the model that AutoRAP's helpers are made from; empty where that is the attacked model's parent."""
        return {"name": "helper_model", **self.config.helper.model} if self.config.helper.model else {}

    def helper_parent(self, wildcards):
        return f"{self.results}/data/helper_model" if self.config.helper.model else self.untouched(wildcards)

    def writing(self, wildcards=None):
        """How long, in what batches and through what models write data; and a model's own penalty on repeating itself."""
        found = {key: getattr(self.config.harm, key) for key in ("max_new_tokens", "batch_size", "engine")}
        return found | ({"repetition_penalty": self.data_of(wildcards, "repetition_penalty")} if wildcards else {})

    def source_file(self, name):
        source = sources.SOURCES[name]
        own = Path(self.config.source_overrides.get(name, "")).suffix.removeprefix(".")
        return f"{self.results}/sources/{name}.{source.ending if source.url or not own else own}"

    def refusals_behind(self, arm):
        """Which triples hold the harmful answers that a fine-tuning attack teaches: those of the arm that it starts from."""
        start = self.config.item("arms", self.config.item("arms", arm).of)
        return getattr(start, "refusals", "greedy" if self.is_standin else "given")

    def shards_of(self, wildcards):
        """The shards of one arm's completions."""
        shards = self.config.item("attacks", wildcards.attack).shards
        folder = f"{self.results}/attacks/{wildcards.attack}/{wildcards.model}/{wildcards.arm}/seed{wildcards.seed}.shards"
        return [f"{folder}/{shard}of{shards}.parquet" for shard in range(shards)]

    def judge_inputs(self, name):
        """What rules make for a judge: a rubric's template, a local judge's weights."""
        judge, folder = self.config.item("judges", name), f"{self.results}/judge/{name}"
        inputs = {"template": f"{folder}/template.json"} if hasattr(judge, "template") else {}
        return inputs | ({"weights": f"{folder}/model"} if hasattr(judge, "weights") else {})

    def asked_by(self, item):
        """Modules that make the folder of a model behind an endpoint; none for others."""
        return ["presto_bench.lm.served.target"] if item.kind == "endpoint" else []

    def arms_of_kind(self, cls):
        every = [*self.config.arms, *self.config.of_strength("arms")]
        return [arm.name for arm in every if isinstance(arm, cls)]

    def answers_inputs(self, wildcards):
        """Requests, and who answers them: the untouched model, or a file that comes with the package."""
        asked = {"prompts": f"{self.results}/data/prompts.parquet", "lists": self.lists}
        source = self.config.standin.answers.source
        if source == "given":
            return asked | {"shipped": f"{self.lists_folder}/answers/{shipped.given().name}"}
        file = shipped.file_of(self.config.item("models", wildcards.model))
        if file is None or source != "shipped":  # none: what refuses that before any job (access.py) is read beside a whole DAG
            asked |= {"model": self.untouched(wildcards)}
        if file is None or source == "own":
            return asked
        return asked | {"shipped": f"{self.lists_folder}/answers/{file.name}"}

    def decided_strength(self, where):
        """The finished grid's files that the config names, of models that have one. where: a path in this folder, or else beside the Snakefile."""
        folder = self.config.strength.decided if self.config.strength else None
        named = [where(f"{folder}/{name}.{ending}") for name in self.models for ending in ("csv", "json")] if folder else []
        return [path for path in named if Path(str(path)).is_file()]

    def of_grid(self, pattern):
        """Files of the strength rule's grid and of base, of a job's model, for every attack or task of the rule that `pattern` names."""
        runs = [("base", 0)] + [(arm, seed) for arm in self.config.strength.rates for seed in self.config.strength.seeds]
        attacks, tasks = ([item.name for item in self.config.of_strength(section)] for section in ("attacks", "tasks"))
        asked = attacks if "{attack}" in pattern else tasks if "{task}" in pattern else [""]

        def files(wildcards):
            named = [{"attack": name, "task": name, "arm": arm, "seed": seed} for name in asked for arm, seed in runs]
            return [f"{self.results}/{pattern}".format(model=wildcards.model, **names) for names in named]

        return files

    def attacks_in_one_piece(self):
        every = [*self.config.attacks, *self.config.of_strength("attacks")]
        return [attack.name for attack in every if attack.shards == 1]

    def sharded_attacks(self):
        return [attack.name for attack in self.config.attacks if attack.shards > 1]
