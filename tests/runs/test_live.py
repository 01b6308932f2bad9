"""The board: what it prints of a run's events, and how it reckons the time that is left."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from presto_bench import progress
from presto_bench.runs import live


def board():
    return live.Board(Console(file=io.StringIO(), width=120, force_terminal=False))


def told(board):
    return board.console.file.getvalue()


def start(board, jobid, rule, wildcards, log=None):
    board.take("job_info", {"jobid": jobid, "rule_name": rule, "wildcards": wildcards, "log": [str(log)] if log else []})
    board.take("job_started", {"jobs": [jobid]})


def test_every_finished_job_has_one_line_without_a_terminal():
    made = board()
    made.take("run_info", {"stats": {"align": 1, "attack_arm": 2, "total": 3}})
    start(made, 7, "align", {"model": "smollm2"})
    made.take("job_finished", {"job_id": 7})
    assert told(made).splitlines() == ["3 jobs to do", "done  align smollm2  0:00  [1 of 3]"]


def test_what_runs_is_shown_with_how_far_it_is(tmp_path):
    log = tmp_path / "results/x/logs/align/m.log"
    progress.to(progress.file_of(log))
    progress.tell(24, 96, "steps")
    progress.to(None)
    made = board()
    made.take("run_info", {"stats": {"align": 1, "total": 1}})
    start(made, 1, "align", {"model": "m"}, log)
    made.console.print(made.screen())
    assert "align m" in told(made) and "24 of 96 steps" in told(made) and "0 of 1 jobs" in told(made)


def test_a_failed_job_shows_the_end_of_its_log(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("\n".join(f"line {i}" for i in range(40)) + "\nTo mend it: free space\n")
    made = board()
    start(made, 1, "align", {"model": "m"}, log)
    made.take("job_error", {"jobid": 1})
    assert "failed  align m" in told(made) and "To mend it: free space" in told(made) and "line 3\n" not in told(made)
    assert str(log) in told(made).replace("\n", "")


def test_an_error_of_the_workflow_itself_is_printed():
    made = board()
    made.take("", {"msg": "3 things are missing"}, "ERROR")
    made.take("", {"msg": "Building DAG of jobs..."}, "INFO")
    assert told(made) == "3 things are missing\n"


def test_time_left_follows_what_rules_take_in_relation_to_each_other():
    """Of 1 long job (90) and 10 short ones (1) the short ones are done after 100 seconds, at 10 seconds a unit: 900 are left."""
    reckoning = live.Reckoning({"long": 1, "short": 10}, {"long": 90, "short": 1}, began=0.0)
    for _ in range(10):
        reckoning.finish("short")
    assert reckoning.left({}, 100.0) == pytest.approx(900)
    assert reckoning.left({"long": 0.5}, 550.0) == pytest.approx(45 * 550 / 55)


def test_nothing_is_said_too_early():
    assert live.Reckoning({"a": 2}, {"a": 1}, began=0.0).left({"a": 0.1}, 5.0) is None
    assert live.Reckoning({"a": 2}, {"a": 1}, began=0.0).left({}, 500.0) is None


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), min_size=1), st.floats(30, 1e4))
def test_nothing_is_left_when_all_is_done(counts, now):
    reckoning = live.Reckoning(counts, {"a": 3.0, "b": 0.5}, began=0.0)
    for rule, n in counts.items():
        for _ in range(n):
            reckoning.finish(rule)
    assert reckoning.left({}, now) == pytest.approx(0)


def test_jobs_on_any_node_are_watched_from_their_files(tmp_path):
    progress.to(tmp_path / "progress/attack/direct/m/da/seed0.json")
    progress.tell(3, 4, "tokens")
    progress.to(None)
    console = Console(file=io.StringIO(), width=120)
    console.print(live.jobs_at_work(tmp_path))
    assert "attack/direct/m/da/seed0" in console.file.getvalue() and "3 of 4 tokens" in console.file.getvalue()
