"""The policy `facts` through the real workflow, on a random tiny model: it knows nothing, and the report says so."""

import json

import pandas as pd
import pytest

from presto_bench import config
from presto_bench.runs import status
from project import Project

STEPS = {"steps": 4, "batch_size": 4, "micro_batch_size": 2, "autocast": None}


def as_facts(raw):
    raw |= {"policy": "facts", "claims": None}
    raw["arms"] = raw["arms"][:1]  # the base: what trains arms is no different here
    raw["attacks"] = [
        {"name": "oracle", "kind": "oracle", "k": [5, 20], "prefill": [True], "budgets": [0, 2], "max_tokens": 16},
        {"name": "guided", "kind": "guided", "max_steps": 8, "prefill": [True], "nulls": []},
    ]
    raw["judges"] = [{"name": "exact", "kind": "facts", "default": True}]
    raw["standin"] = {
        "facts": {"train": 4, "dev": 1, "test": 3},
        "benign": {"train": 6, "dev": 1, "test": 4},
        "answers": {"max_new_tokens": 24, "min_score": 0.0, "ended": False},
        "teaching": {**STEPS, "safety_share": 0.75, "prefill_probability": 0.0},
        "alignment": {**STEPS, "refusals": "varied", "after_prefill": "continue"},
    }


@pytest.fixture(scope="module")
def project(root, tmp_path_factory):
    made = Project(root, tmp_path_factory.mktemp("facts") / "project")
    made.config(as_facts)
    made.run("figure_reach", "results/tiny/manifest.json")
    return made


def table(project, name):
    return pd.read_csv(project.path / f"results/tiny/tables/{name}.csv")


def test_the_taught_model_is_made_before_anything_is_forbidden(project):
    folder = project.path / "results/tiny/models/tiny"
    assert (folder / "untaught/seed0/model.safetensors").stat().st_size > 0
    taught, untaught = ((folder / f"{name}/seed0/model.safetensors").read_bytes() for name in ("untouched", "untaught"))
    assert taught != untaught
    manifest = json.loads((project.path / "results/tiny/manifest.json").read_text())
    assert manifest["config"]["policy"] == "facts"


def test_status_knows_of_the_teaching(project, monkeypatch):
    monkeypatch.chdir(project.path)
    loaded = config.read(project.path / "tests/config/tiny.yaml")
    found = status.parts(loaded, "trained", "tiny", "base", 0)
    assert len(found) == 3 and all(part.output.exists() and part.log.exists() for part in found)


def test_search_and_pickers_stand_in_one_table_and_agree(project):
    found = table(project, "reach")
    assert set(found["picker"]) == {"any picker", "guided"}
    search = found[found["picker"] == "any picker"]
    assert set(search["variant"]) == {"k5_prefill", "k20_prefill", "k5_prefill_b0", "k5_prefill_b2"}
    assert (search["n"] == 3).all() and (search["undecided"] == 0).all()
    checks = table(project, "checks").set_index("name")
    assert str(checks.loc["no_picker_beyond_the_search", "ok"]) == "True"
    assert str(checks.loc["searches_decided", "ok"]) == "True"
    # A random model can be made to tell nothing in sixteen tokens of its twenty best: there is nothing to grade.
    assert (search["mean"] == 0).all() and str(checks.loc["found_texts_graded_as_told", "ok"]) == "nan"
    assert (project.path / "results/tiny/figures/reach.png").stat().st_size > 2000


def test_an_edit_of_the_world_teaches_anew(project):
    path = project.path / "src/presto_bench/policies/data/facts/facts.csv"
    text = path.read_text()
    path.write_text(text.replace(",Vurves,", ",Vurvas,"))
    try:
        assert {"prompts", "teach", "align"} <= set(project.would_run())
    finally:
        path.write_text(text)
