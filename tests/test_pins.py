"""What is pinned is pinned alike everywhere, and README's numbers are those of the committed run."""

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path

import yaml

from presto_bench import fingerprint


def locked(root):
    pairs = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (root / "requirements.lock").read_text(), re.MULTILINE)
    return {name.lower(): version for name, version in pairs}


def test_environment_files_pin_what_the_lock_pins(root):
    lock = locked(root)
    for path in sorted((root / "envs").glob("*.yaml")):
        pip = next(entry["pip"] for entry in yaml.safe_load(path.read_text())["dependencies"] if isinstance(entry, dict))
        for requirement in pip:
            name, version = requirement.split("==")
            assert lock[name.lower()] == version, f"{path.name}: {requirement}"


def test_every_rule_names_an_environment_that_exists(root):
    for path in sorted((root / "rules").glob("*.smk")):
        for name in re.findall(r'"\.\./envs/(\S+)"', path.read_text()):
            assert (root / "envs" / name).is_file()


def test_readmes_numbers_are_those_of_the_committed_run(root):
    sys.path.insert(0, str(root / "docs"))
    import update_readme

    assert {
        "README.md",
        "docs/explanation/demo.md",
        "docs/explanation/oracle.md",
        "docs/explanation/evidence.md",
        "docs/explanation/earlier.md",
    } == {p for r in update_readme.RUNS for p in r.pages}
    for run in update_readme.RUNS:
        committed = json.loads(run.summary.read_text())
        for page, section in run.sections(committed).items():
            assert section in (root / page).read_text(), "run: make readme"
        assert committed["manifest"]["versions"]["torch"].split("+")[0] == locked(root)["torch"]


def test_the_environment_without_models_has_what_its_stages_import(root):
    """By the static closure of each rule's modules: --use-conda gives them nothing else."""
    installed = re.findall(r"- ([\w-]+)==", (root / "envs/analysis.yaml").read_text())
    known = {"yaml" if name == "PyYAML" else name.lower() for name in installed} | sys.stdlib_module_names | {"presto_bench"}
    rules = [block for path in (root / "rules").glob("*.smk") for block in re.split(r"\nrule ", path.read_text())[1:]]
    stages = {name for block in rules if "envs/analysis.yaml" in block for name in re.findall(r'code\("(\w+)"', block)}
    figures = [f"presto_bench.report.figures.{path.stem}" for path in (root / "src/presto_bench/figures").glob("[a-z]*.py")]
    assert {"tables", "verdicts", "front"} <= stages
    for module in [*(f"presto_bench.stages.{stage}" for stage in (*stages, "figure")), *figures]:
        for reached in fingerprint.closure(module):
            missing = {name.split(".")[0].lower() for name in imported(reached)} - known
            assert not missing, f"{module} needs {missing} by way of {reached}"


def imported(module: str) -> list[str]:
    """What a module imports as it is loaded."""
    body = ast.parse(Path(importlib.util.find_spec(module).origin).read_text()).body
    names = [[alias.name for alias in node.names] for node in body if isinstance(node, ast.Import)]
    return sum(names, [node.module for node in body if isinstance(node, ast.ImportFrom)])
