"""The last screen of a run counts what the files of that run say."""

import json
import os

import pytest

from presto_bench import config
from presto_bench.runs import closing


@pytest.fixture
def loaded(raw_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw_config["models"][0]["resources"]["gpu"] = 2
    return config.load(raw_config)


def benchmark(name, seconds, when):
    from pathlib import Path

    path = Path("results/standin/benchmarks") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    os.utime(path, (when, when))


def test_jobs_hours_and_gpu_hours_of_this_run_alone(loaded, tmp_path):
    benchmark("finetune/smollm2/da/seed0.tsv", 3600, 2000)
    benchmark("tables.tsv", 100, 2000)
    benchmark("align/smollm2.tsv", 7200, 500)  # of an earlier run
    said = closing.screen(tmp_path / "absent.log", loaded, 1000)
    assert "2 finished, 0 repeated, 0 failed" in said
    assert "1:01:40 in jobs, 2.00 GPU hours" in said


def test_failures_and_repetitions_are_counted_and_say_where_to_look(loaded, tmp_path):
    log = tmp_path / "run.log"
    log.write_text("Error in rule finetune_arm:\nTrying to restart job 7.\nError in rule finetune_arm:\nError in rule align:\n")
    said = closing.screen(log, loaded, 0)
    assert "0 finished, 1 repeated, 2 failed" in said
    assert "finetune_arm (2), align (1)" in said and "presto-bench status" in said


def test_a_finished_run_ends_with_its_headline_and_the_checks_that_do_not_hold(loaded, tmp_path):
    root = tmp_path / "results/standin"
    (root / "tables").mkdir(parents=True)
    (root / "tables/headline.txt").write_text("No difference shown between da_presto and da.\n")
    checks = {
        "base_prefilling_score": {"value": 0.5, "bar": ">= 0.3", "ok": True},
        "da_loss_ratio": {"value": 1.2, "bar": "reported", "ok": None},
    }
    checks["base_guided_score"] = {"value": 0.1, "bar": ">= 0.3", "ok": False}
    (root / "summary.json").write_text(json.dumps({"checks": {"smollm2": checks}}))
    said = closing.screen(tmp_path / "absent.log", loaded, 0)
    assert "No difference shown" in said
    assert "1 of 2 hold, but not" in said and "smollm2, base_guided_score: 0.1, wanted >= 0.3" in said
