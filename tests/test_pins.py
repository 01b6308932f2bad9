"""What is pinned is pinned alike everywhere, and README's numbers are those of the committed run."""

import json
import re

import yaml


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
    import sys

    sys.path.insert(0, str(root / "docs"))
    import update_readme

    shown = [page for page in update_readme.PAGES if page.summary.exists()]
    assert {page.experiment for page in shown} >= {"standin"}
    for page in shown:
        committed = json.loads(page.summary.read_text())
        assert update_readme.section(page, committed) in (root / page.page).read_text(), "run: make readme"
        assert committed["manifest"]["versions"]["torch"].split("+")[0] == locked(root)["torch"]
