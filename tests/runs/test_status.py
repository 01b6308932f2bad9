"""Where a run stands, from its files alone."""

import os

import pytest

from presto_bench import config
from presto_bench.runs import status


@pytest.fixture
def loaded(raw_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return config.load(raw_config)


def put(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def row(loaded, arm, now=None):
    table, failed = status.table(loaded, now)
    return table.set_index("arm").loc[arm], failed


def test_an_experiment_that_was_not_begun(loaded):
    found, failed = row(loaded, "da")
    assert dict(found[list(status.STAGES)]) == {
        "augmented": "0/1",
        "trained": "0/1",
        "attacks": "0/4",
        "grades": "0/6",
        "ranks": "0/1",
        "causal": "-",  # the default leaves it out
        "utility": "0/4",
    }
    assert failed == []
    assert row(loaded, "base")[0]["augmented"] == "-"  # nothing is drawn for an arm that is not trained


def test_done_running_failed_and_what_to_read(loaded, tmp_path):
    part = status.parts(loaded, "attacks", "smollm2", "da", 0)
    put(part[0].output)
    log = put(part[1].log, "12:00:01 batch 3 of 9\n")
    assert row(loaded, "da")[0]["attacks"] == "1/4 running"
    quiet = log.stat().st_mtime + status.LIVELY + 1
    assert row(loaded, "da", quiet)[0]["attacks"] == "1/4"
    put(part[2].log, "12:00:02 results/x: damaged\n  To mend it: delete it\n")
    found, failed = row(loaded, "da")
    assert found["attacks"] == "1/4 failed"
    assert [os.fspath(path) for path in failed] == ["results/standin/logs/attack/guided/smollm2/da/seed0.log"]
    assert "failed, see:" in status.show(loaded)
    for one in part:
        put(one.output)
    assert row(loaded, "da")[0]["attacks"] == "done"  # an old log says nothing about an output that is there


def test_teaching_the_facts_counts_as_part_of_the_base(root, tmp_path, monkeypatch):
    facts = config.read(root / "config/experiments/facts.yaml")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "results/facts"
    put(run / "data/smollm2/own.parquet")
    log = put(run / "logs/teach/smollm2.log", "Traceback: out of memory\nError")
    found, failed = row(facts, "base")
    assert found["trained"] == "1/3 failed" and log.relative_to(tmp_path) in failed
    assert row(facts, "da")[0]["trained"] == "0/1"


def test_every_part_is_a_file_that_the_workflow_makes(finished, monkeypatch):
    """A finished run has every output and every log where the table looks for them."""
    monkeypatch.chdir(finished.path)
    loaded = config.read(finished.path / "tests/config/tiny.yaml")
    table, failed = status.table(loaded)
    assert set(table[list(status.STAGES)].to_numpy().ravel()) <= {"done", "-"} and not failed
    for model, arm, seed in loaded.runs():
        for stage in status.STAGES:
            assert all(part.log.exists() for part in status.parts(loaded, stage, model, arm, seed)), stage
