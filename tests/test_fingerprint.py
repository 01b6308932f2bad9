"""params.code changes with what a stage's code does, and with nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from presto_bench import fingerprint

SHARED = {"job", "openers", "requests", "writers"}  # modules of the folder that are no stage: what several of them do


def stages(source: Path) -> list[str]:
    return sorted({path.stem for path in (source / "presto_bench/stages").glob("[a-z]*.py")} - SHARED)


def codes(source: Path) -> dict[str, str]:
    """Each stage's hash, from the package in `source`."""
    return {stage: fingerprint.code_hash([f"presto_bench.stages.{stage}"]) for stage in stages(source)}


@pytest.fixture(scope="module")
def package(root, tmp_path_factory):
    """A copy of the package and each stage's hash before any edit."""
    source = Path(
        shutil.copytree(
            root / "src", tmp_path_factory.mktemp("fingerprint") / "src", ignore=shutil.ignore_patterns("__pycache__")
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "ROOT", source / "presto_bench")
        before = codes(source)
    return source, before


@pytest.fixture
def source(package, monkeypatch):
    """The copy, which `fingerprint` takes for its package; every edit is undone."""
    folder, _ = package
    texts = {path: path.read_bytes() for path in folder.rglob("*.py")}
    monkeypatch.setattr(fingerprint, "ROOT", folder / "presto_bench")
    yield folder
    for path, text in texts.items():
        if path.read_bytes() != text:
            path.write_bytes(text)


@pytest.fixture
def before(package):
    return package[1]


def test_comments_and_docstrings_are_no_code(source, before):
    path = source / "presto_bench/policies/cooking.py"
    path.write_text(path.read_text().replace('"""The table `prompts`', '"""Now told otherwise') + "\n# a remark\n")
    assert codes(source) == before


def test_a_process_that_lives_through_an_edit_sees_it(source, before):
    """Also what the edited module imports from then on, and that it was edited back."""
    path = source / "presto_bench/tables.py"
    text = path.read_text()
    path.write_text(text + "\nPLANTED = 1\n")
    assert codes(source)["tables"] != before["tables"]
    path.write_text(text)
    assert codes(source) == before
    path.write_text(text + "\nfrom presto_bench.runs import plan\n")
    assert "presto_bench.runs.plan" in fingerprint.closure("presto_bench.stages.tables")


# Written by hand: an edit in this module reruns these stages.
ALL = {
    "answers",
    "attack",
    "augment",
    "bundle",
    "candidates",
    "card",
    "causal",
    "checkpoint",
    "composition",
    "corrected",
    "curve",
    "decoding_arm",
    "doctor",
    "entropy",
    "fetch",
    "fidelity",
    "figure",
    "finetune",
    "front",
    "grade",
    "harm",
    "harm_prompts",
    "helper",
    "helper_refusals",
    "human_times",
    "judge_check",
    "judge_template",
    "judge_weights",
    "manifest",
    "merge",
    "prompts",
    "published_base",
    "ranks",
    "own_answers",
    "page",
    "paper_table",
    "refusals",
    "retry_failed",
    "shipped_answers",
    "source",
    "steps",
    "strength",
    "tables",
    "top_lists",
    "update_norm",
    "utility",
    "verdicts",
    "written_prefills",
}
# It reads what an attack works on.
REQUESTS = {"merge"}
# Stages that know a stand-in policy.
STANDIN = {
    "answers",
    "attack",
    "causal",
    "composition",
    "finetune",
    "harm",
    "helper",
    "judge_check",
    "merge",
    "prompts",
    "ranks",
    "refusals",
    "shipped_answers",
    "steps",
    "top_lists",
    "utility",
    "written_prefills",
}
REACHES = {
    "analysis/depth.py": {"page", "causal", "curve", "tables", "verdicts", "card"},
    "analysis/crossed.py": {
        "front",
        "page",
        "corrected",
        "curve",
        "fidelity",
        "human_times",
        "strength",
        "tables",
        "verdicts",
        "card",
    },
    "analysis/card.py": {"card"},
    "report/card_page.py": {"card"},
    "report/page/sections.py": {"page"},
    "report/words.py": {"front", "page"},  # figures that use them get them with their own module
    "analysis/per_request.py": {"page"},
    "stages/openers.py": {"causal", "ranks", "steps", "top_lists"},
    "lm/served/target.py": set(),
    "analysis/curve.py": {"curve"},
    "analysis/curve_names.py": {"curve"},
    "measures/update.py": {"update_norm"},
    "training/presto.py": {"causal", "doctor", "finetune", "ranks"},
    "training/attention_mass.py": {"causal", "doctor", "finetune", "ranks"},
    "measures/attention_patch.py": {"causal"},
    "analysis/causal.py": {"tables"},
    "analysis/reach.py": {"tables"},
    "training/objective.py": {"finetune"},
    "attacks/autorap/helper.py": {"candidates", "helper"},
    "measures/candidates.py": {"steps", "composition", "helper"},
    "policies/known.py": {"candidates", "composition", "helper"},
    "attacks/autorap/search.py": set(),  # autorap's, which its attack adds
    "lm/rollback.py": set(),
    "training/trainer.py": {"finetune"},
    "training/augment.py": {"augment", "finetune"},
    "analysis/stats.py": {
        "front",
        "page",
        "corrected",
        "curve",
        "fidelity",
        "human_times",
        "strength",
        "tables",
        "verdicts",
        "card",
    },
    "analysis/scores.py": {"page", "corrected", "curve", "strength", "tables", "verdicts", "card"},
    "analysis/checks.py": {"strength", "tables", "card"},
    "analysis/strength.py": {"strength", "tables", "card"},
    "analysis/matching.py": {"tables"},
    "analysis/profiles.py": {"tables", "card"},
    "analysis/seeds.py": {"tables"},
    "analysis/fidelity.py": {"fidelity"},
    "report/items.py": {"paper_table"},
    "report/published.py": {"fidelity"},  # figures that lay it over ours get it with their own module
    "analysis/agreement.py": {"corrected", "tables"},
    "analysis/coercion.py": {"curve", "tables", "verdicts", "card"},
    "report/figures/style.py": {"page", "figure", "card"},
    "report/figures/pareto.py": set(),  # a figure's own module is added by its rule
    "attacks/guided.py": set(),  # so is an attack's
    "lm/decoding.py": {
        "steps",
        "answers",
        "composition",
        "harm",
        "helper",
        "own_answers",
        "refusals",
        "shipped_answers",
        "written_prefills",
    },
    "lm/reading.py": {
        "steps",
        "answers",
        "composition",
        "doctor",
        "finetune",
        "harm",
        "helper",
        "own_answers",
        "refusals",
        "shipped_answers",
        "written_prefills",
    },
    "lm/writing.py": {"answers", "harm", "own_answers", "refusals", "shipped_answers"},
    "judges/refusal.py": {
        "answers",
        "composition",
        "harm",
        "helper",
        "refusals",
        "shipped_answers",
        "utility",
        "written_prefills",
    },
    "policies/harm.py": {"harm", "harm_prompts", "written_prefills"},
    "data/sources.py": {"bundle"},  # a rule has just the entry that it fetches in its spec
    "data/source_files.py": {"harm", "harm_prompts", "source", "utility", "written_prefills", "finetune", "entropy"},
    "config/references.py": set(),  # it only refuses
    "policies/by_name.py": REQUESTS
    | {"steps", "answers", "attack", "causal", "finetune", "prompts", "ranks", "refusals", "shipped_answers", "top_lists"},
    "policies/facts.py": REQUESTS
    | {"steps", "answers", "attack", "causal", "finetune", "prompts", "ranks", "refusals", "shipped_answers", "top_lists"},
    "utility/mt_bench.py": set(),  # a task's own module is added by its rule
    "judges/fluency.py": {"grade", "judge_check"},
    "judges/standin.py": {
        "answers",
        "composition",
        "harm",
        "helper",
        "refusals",
        "shipped_answers",
        "utility",
        "written_prefills",
    },  # grades get it with the judge's own entry
    "stages/ranks.py": {"causal", "ranks"},
    "tables.py": ALL,
    "config/parts.py": ALL,
    "config/models.py": ALL,  # every job may name its model
    "config/endpoint.py": ALL,  # and that model may be served
    "config/training.py": STANDIN
    | {"augment", "checkpoint", "decoding_arm", "doctor"},  # a stand-in's own config says how its base is trained
    "config/standin.py": STANDIN,
    "config/answers.py": STANDIN | {"own_answers", "written_prefills"},
    "config/harm.py": {"harm", "harm_prompts", "written_prefills"},
    "config/attacks.py": set(),  # a stage gets just its own entry
    "config/judges.py": {  # stages that use a judge or its replies outside of grading, where it comes with the judge's own entry
        "answers",
        "bundle",
        "composition",
        "harm",
        "helper",
        "judge_template",
        "refusals",
        "retry_failed",
        "shipped_answers",
        "utility",
        "written_prefills",
    },
    "config/tasks.py": set(),
    "config/source_names.py": set(),
    "config/schema.py": set(),
    "config/__init__.py": set(),  # for plug-ins and tests: modules of this package name the part
    "config/arms.py": {"checkpoint", "decoding_arm", "finetune"},
    "config/helper.py": {"helper"},
    "config/causal.py": {"causal", "tables"},
    "config/composition.py": {"composition"},
    "config/audit.py": set(),
    "config/curve.py": set(),
    "config/page.py": set(),
    "config/pool.py": set(),
    "config/strength.py": set(),
    "config/strength_names.py": {"card", "strength", "tables"},
    "config/experiment.py": set(),  # what a rule takes of it stands in its spec
    "config/reading.py": set(),
}


def test_every_part_of_the_config_is_named_here(source):
    parts = {f"config/{path.name}" for path in (source / "presto_bench/config").glob("*.py")}
    assert parts == {module for module in REACHES if module.startswith("config/")}


@pytest.mark.parametrize("module", REACHES)
def test_an_edit_reruns_exactly_the_stages_that_reach_it(source, before, module):
    path = source / "presto_bench" / module
    path.write_text(path.read_text() + "\nPLANTED = 1\n")
    after = codes(source)
    assert {stage for stage in before if before[stage] != after[stage]} == REACHES[module]


def test_an_attacks_own_module_counts_where_its_rule_names_it(source):
    def found():
        return fingerprint.code_hash(["presto_bench.stages.attack", "presto_bench.attacks.guided"])

    before, path = found(), source / "presto_bench/attacks/guided.py"
    path.write_text(path.read_text() + "\nPLANTED = 1\n")
    assert found() != before


def test_a_users_plug_in_counts_with_the_modules_beside_it(tmp_path):
    (tmp_path / "my_attack.py").write_text("import my_helper\nimport json\n")
    (tmp_path / "my_helper.py").write_text("X = 1\n")
    code = "from presto_bench import fingerprint; print(fingerprint.code_hash(['my_attack']))"

    def found():
        environment = {"PYTHONPATH": f"{tmp_path}:{fingerprint.ROOT.parent}"}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout

    before = found()
    (tmp_path / "my_helper.py").write_text("X = 2\n")
    assert found() != before


def test_closures_are_what_the_layout_says():
    """Written by hand: a figure's style concerns no model, the objective concerns no attack."""
    figure = fingerprint.closure("presto_bench.stages.figure")
    assert "presto_bench.training.trainer" not in figure and "presto_bench.report.figures.style" in figure
    attack = fingerprint.closure("presto_bench.stages.attack")
    assert "presto_bench.training.trainer" not in attack and "presto_bench.judges.standin" not in attack
    assert "presto_bench.training.presto" in fingerprint.closure("presto_bench.stages.finetune")
    assert "presto_bench.analysis.stats" in fingerprint.closure("presto_bench.stages.tables")


def test_a_plug_in_counts_with_the_stage_that_runs_it():
    plain = fingerprint.code_hash(["presto_bench.stages.attack"])
    assert fingerprint.code_hash(["presto_bench.stages.attack", "presto_bench.attacks.guided"]) != plain


def test_closures_are_those_of_the_import_graph(package):
    """Against another reader of the same imports: what the closure misses would make no result stale."""
    folder, _ = package
    graph = grimp.build_graph("presto_bench", cache_dir=None)
    for stage in stages(folder):
        module = f"presto_bench.stages.{stage}"
        reached = {name for name in fingerprint.closure(module) if not is_package(name)}
        upstream = {name for name in graph.find_upstream_modules(module) if not is_package(name)} | {module}
        assert reached == upstream, stage


def is_package(name: str) -> bool:
    """A folder's __init__ is empty: fingerprint counts it where a name is taken from the folder, the graph does not."""
    return (fingerprint.ROOT.parent.joinpath(*name.split(".")) / "__init__.py").is_file()
