"""The real workflow, through Snakemake, on random models of a million parameters (tests/config/tiny.yaml)."""

import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest

import tiny_model
from presto_bench import tables
from project import COLD, Project, edit, moved


def test_the_experiment_ends_with_tables_figures_and_summary(finished):
    folder = finished.path / "results/tiny"
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary) == {"scores", "differences", "ratios", "checks", "ranks", "utility"}
    assert summary["scores"]["tiny"]["da"]["guided"]["standin"]["n"] == 8
    for name in ("pareto", "scores", "headline", "ranks", "attention", "training"):
        assert (folder / f"figures/{name}.pdf").stat().st_size > 2000
        assert (folder / f"figures/{name}.png").stat().st_size > 2000
    assert json.loads((folder / "manifest.json").read_text())["models"]["tiny"]["unusual"] == []  # what its doctor found
    assert "no comparison" in (folder / "tables/headline.txt").read_text()  # there is no da_presto in it
    assert not list((folder / "work").rglob("*.parquet"))


def test_the_fault_experiment_has_at_most_fifteen_jobs(root, tmp_path):
    project = Project(root, tmp_path / "project")
    assert sum(project.would_run("results/tiny/summary.json").values()) <= 15


@pytest.mark.parametrize("elsewhere", [True, False])
def test_the_workflow_is_found_from_anywhere_and_the_default_experiment_can_be_renamed(finished, tmp_path, elsewhere):
    """By -s from another folder, and by --directory from its own."""
    where = ["-s", str(finished.path / "Snakefile")] if elsewhere else ["--directory", str(tmp_path)]
    for name, renamed in (("standin", []), ("mine", ["--config", "experiment=mine"])):
        words = [f"results/{name}/data/prompts.parquet", "--cores", "1", "--dry-run", *where, *renamed]
        done = subprocess.run(
            [finished.python, "-m", "snakemake", *words],
            cwd=tmp_path if elsewhere else finished.path,
            env=finished.environment,
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0 and f"results/{name}/data/prompts.parquet" in said, said[-2000:]


def test_a_second_run_has_nothing_to_do(finished):
    assert finished.would_run() == {}


def test_an_attack_in_shards_is_the_attack_in_one_piece(finished, tmp_path):
    """Eight requests in batches of two, spread over three jobs: the same rows in the same order."""
    there = moved(finished, tmp_path / "sharded")
    edit(there, "tests/config/tiny.yaml", "kind: guided, k: [20]", "kind: guided, shards: 3, k: [20]")
    assert there.would_run() == {"attack_shard": 6, "merge_shards": 2, **after_attacks()}
    there.run("attack")
    for arm in ("base", "da"):
        path = f"results/tiny/attacks/guided/tiny/{arm}/seed0.parquet"
        whole, shared = (tables.read(p.path / path, "completions").drop(columns="seconds") for p in (finished, there))
        pd.testing.assert_frame_equal(whole, shared)


def test_what_stands_in_the_top_20_is_measured_of_every_arm_without_a_helper(finished):
    made = [f"results/tiny/composition/tiny/{arm}/seed0.parquet" for arm in ("base", "da")]
    undo = edit(finished, "tests/config/tiny.yaml", "composition: null", "composition: {requests: 1, cuts: 2}")
    try:
        finished.run(*made)
        found = {path.split("/")[-2]: tables.read(finished.path / path, "composition") for path in made}
    finally:
        undo()
    for arm, frame in found.items():
        assert set(frame["arm"]) == {arm} and set(frame["kind"]) <= {"plausible", "plausible_refused", "refusal", "other"}
        assert frame["prompt_id"].nunique() == 1
        for _, place in frame.groupby("depth"):  # two depths that were drawn alike are one
            assert place["rank"].tolist() == list(range(1, 21)) and place["token_id"].is_unique
    pd.testing.assert_frame_equal(*(frame[["prompt_id", "depth"]] for frame in found.values()))  # the same places


def after_attacks():
    return {
        "grade_attack": 2,
        "tables": 1,
        "fidelity": 1,
        "figure": 10,
        "manifest": 1,
        "front_page": 1,
        "verdicts": 1,
        "corrected_means": 1,
        "steps": 2,
        "page": 1,
    }


def test_a_second_model_of_another_architecture_and_a_users_checkpoint_by_config_alone(finished, tmp_path):
    """A Gemma-3-shaped model without a system role, a user's own weights as an arm, and a second guided attack for one of the two."""
    there = moved(finished, tmp_path / "two")
    tiny_model.make(there.path / "downloads/tiny-gemma", "gemma3")
    tiny_model.make(there.path / "downloads/mine", "llama")

    def change(raw):
        raw["models"].append({"name": "gem", "kind": "local", "path": "downloads/tiny-gemma", "sampling": {"temperature": 0.7}})
        raw["arms"].append({"name": "mine", "kind": "checkpoint", "of": "tiny", "path": "downloads/mine"})
        raw["attacks"].append(
            {"name": "sweep", "kind": "guided", "k": [2, 5], "max_steps": 8, "prefill": [False], "only": ["gem"]}
        )

    there.config(change)
    would = there.would_run("results/tiny/summary.json")
    assert (would["finetune_arm"], would["align"], would["attack_arm"]) == (1, 1, 5)  # what was there is kept
    there.run("results/tiny/summary.json")
    scores = json.loads((there.path / "results/tiny/summary.json").read_text())["scores"]
    assert {model: set(arms) for model, arms in scores.items()} == {"tiny": {"base", "da", "mine"}, "gem": {"base", "da"}}
    assert {model: set(arms["base"]) for model, arms in scores.items()} == {"tiny": {"guided"}, "gem": {"guided", "sweep"}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.update(seeds=[-1]), "config.seeds[0]"),
        (lambda raw: raw["judges"][0].update(default=False), "exactly one judge must be the default"),
        (lambda raw: raw["arms"][1].update(inherits="nobody"), "there is no arm 'nobody'"),
    ],
)
def test_a_mistake_in_the_config_stops_before_any_job(finished, change, said):
    original = (finished.path / "tests/config/tiny.yaml").read_text()
    try:
        finished.config(change)
        message = finished.run("--dry-run", ok=False)
    finally:
        (finished.path / "tests/config/tiny.yaml").write_text(original)
    assert said in message
    assert "To mend it" in message


def kill_job_when(project: Project, ready) -> None:
    """Start snakemake, wait until `ready()`, then SIGKILL the process that runs the job's script."""
    head = subprocess.Popen(
        project.command("results/tiny/summary.json"),
        cwd=project.path,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not ready():
        assert head.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    for process in psutil.Process(head.pid).children(recursive=True):
        if any(".snakemake/scripts" in word for word in process.cmdline()):
            process.kill()
    assert head.wait() != 0


@pytest.mark.faults
def test_killed_training_and_killed_guided_rap_go_on_to_the_same_tables(root, tmp_path):
    def longer(raw):
        raw["arms"][1] |= {"steps": 120, "save_every": 10}

    calm, disturbed = Project(root, tmp_path / "calm", COLD), Project(root, tmp_path / "disturbed", COLD)
    for project in (calm, disturbed):
        project.config(longer)
    calm.run("results/tiny/summary.json")
    work = disturbed.path / "results/tiny/work"
    kill_job_when(disturbed, lambda: list(work.glob("finetune_arm/*/checkpoint-40")))
    trained = disturbed.path / "results/tiny/models/tiny/da/seed0"
    assert not trained.exists()
    (checkpoints,) = work.glob("finetune_arm/*")
    log = checkpoints / "metrics.jsonl"
    steps_before_the_kill = log.read_text().splitlines()
    log.write_text("".join(line.replace("{", '{"killed": true, ', 1) + "\n" for line in steps_before_the_kill))
    kill_job_when(disturbed, lambda: len(list(work.glob("attack_arm/*/*.parquet"))) >= 2)
    assert "checkpoint" not in str(list(work.rglob("*")))
    disturbed.run("results/tiny/summary.json")
    logs = disturbed.path / "results/tiny/logs"
    attacked = next(
        text for text in map(Path.read_text, sorted(logs.glob("attack/guided/tiny/*/*.log"))) if "going on from" in text
    )
    assert "batch 1 of 4" not in attacked and "batch 4 of 4" in attacked
    assert disturbed.tables() == calm.tables()
    assert (trained / "model.safetensors").read_bytes() == (
        calm.path / "results/tiny/models/tiny/da/seed0/model.safetensors"
    ).read_bytes()
    steps = [json.loads(line) for line in Path(f"{trained}.metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in steps] == list(range(1, 121))
    kept = [line["step"] for line in steps if "killed" in line]
    assert kept == list(range(1, len(kept) + 1))
    assert 30 <= len(kept) < 120, "training did not go on from its last whole checkpoint"


@contextmanager
def results_on_their_own(project, size):
    """A real file system of that size under results/; gives a way to mount it anew with other options."""
    results = project.path / "results"
    results.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(results)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system is not permitted here")
    try:
        yield lambda option: subprocess.run(["mount", "-o", f"remount,{option}", str(results)], check=True)
    finally:
        subprocess.run(["umount", str(results)], check=True)


@pytest.mark.faults
def test_a_full_disk_says_so_keeps_what_is_done_and_goes_on(root, tmp_path):
    """A real small file system under results/: too small for the trained model, then large enough."""
    project = Project(root, tmp_path / "project", COLD)
    with results_on_their_own(project, "2500k") as remount:
        said = project.run("results/tiny/summary.json", ok=False)
        assert "No space left on device" in said
        assert "To mend it: free space" in said
        remount("size=200m")
        assert "fetch_model" not in project.would_run("results/tiny/summary.json")
        project.run("results/tiny/summary.json")
        assert (project.path / "results/tiny/summary.json").exists()


def test_a_pilot_runs_small_beside_its_experiment_and_feeds_the_plan(finished, monkeypatch):
    from presto_bench import config
    from presto_bench.runs import pilot, plan

    before = finished.tables()
    finished.run("results/tiny_pilot/summary.json", "--config", "pilot=tiny")
    folder = finished.path / "results/tiny_pilot"
    try:
        summary = json.loads((folder / "summary.json").read_text())
        assert 0 < summary["scores"]["tiny"]["da"]["guided"]["standin"]["n"] <= pilot.REQUESTS
        assert len((folder / "models/tiny/da/seed0.metrics.jsonl").read_text().splitlines()) == pilot.STEPS
        assert finished.tables() == before and finished.would_run() == {}
        monkeypatch.chdir(finished.path)
        seconds = plan.pilot_seconds(config.read(finished.path / "tests/config/tiny.yaml"), finished.path / "results")
        assert set(seconds) == {"data", "finetune", "attack", "ranks"} and all(value > 0 for value in seconds.values())
    finally:
        shutil.rmtree(folder)


def test_weights_that_are_not_to_be_kept_go_when_nothing_needs_them_and_nothing_is_stale_then(finished, tmp_path):
    there = moved(finished, tmp_path / "project")
    there.config(lambda raw: raw.update(keep_weights=False))
    there.run("--forcerun", "finetune_arm")
    models = there.path / "results/tiny/models/tiny"
    assert not (models / "da/seed0").exists() and (models / "da/seed0.metrics.jsonl").exists()
    assert (models / "base/seed0/model.safetensors").exists()  # what every arm starts from
    assert there.would_run() == {}
    assert there.tables() == finished.tables()


@pytest.mark.faults
def test_a_results_folder_that_turns_read_only_stops_the_run_before_any_job_and_loses_nothing(root, tmp_path):
    project = Project(root, tmp_path / "project", COLD)
    with results_on_their_own(project, "200m") as remount:
        project.run("results/tiny/data/tiny/answers.parquet")
        remount("ro")
        said = project.run("results/tiny/summary.json", ok=False)
        assert "results/tiny: cannot be written: Read-only file system" in said and "To mend it" in said
        assert "Finished jobid" not in said
        remount("rw")
        assert not {"fetch_model", "prompts", "answers"} & set(project.would_run("results/tiny/summary.json"))
        project.run("results/tiny/summary.json")


def test_a_recorded_session_is_graded_like_any_attack(finished, monkeypatch):
    """Sessions come after training: an arm that nobody worked on is not attacked, and a recorded one is, to the same ids."""
    import asyncio

    from presto_bench import config, tables
    from presto_bench.attacks.human import people
    from presto_bench.attacks.human import tasks as rap_tasks
    from presto_bench.attacks.human.screen import RapScreen

    monkeypatch.chdir(finished.path)
    human = "attacks:\n  - {name: human, kind: human, sessions: sessions, k: 20, max_steps: 9}\n"
    undo = edit(finished, "tests/config/tiny.yaml", "attacks:\n", human)
    try:
        assert "attack_arm" not in finished.would_run()
        loaded = config.read(finished.path / "tests/config/tiny.yaml")
        results = finished.path / "results/tiny"
        study = rap_tasks.Study("ada", "", people.Target("tiny", "da", 0), 1, "tiny/da")
        (task,) = rap_tasks.tasks(results, loaded.models[0], loaded.attacks[0], study, "2026-01-01")

        async def work():
            async with RapScreen(task).run_test() as pilot:
                await pilot.press("2", "enter", "enter", "s")

        asyncio.run(work())
        assert finished.would_run()["attack_arm"] == 1
        finished.run("results/tiny/tables/scores.csv")
        found = tables.read(results / "attacks/human/tiny/da/seed0.parquet", "completions")
        second = task.candidates(())[1][0]
        assert found["token_ids"].tolist()[0].tolist() == [second, task.candidates((second,))[0][0]]
        assert "human" in (results / "tables/scores.csv").read_text()
        finished.run("results/tiny/steps/human/tiny/da/seed0.parquet")
        steps = tables.read(results / "steps/human/tiny/da/seed0.parquet", "steps")
        assert steps[steps["picked"]]["token_id"].tolist() == found["token_ids"].tolist()[0].tolist()
    finally:
        undo()
        for made in ("sessions", *(f"results/tiny/{kind}/human" for kind in ("attacks", "grades/standin", "steps"))):
            shutil.rmtree(finished.path / made, ignore_errors=True)
        finished.run("results/tiny/summary.json")
