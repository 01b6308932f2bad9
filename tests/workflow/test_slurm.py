"""`snakemake --profile slurm` on a real Slurm (tests/slurm/local_slurm.py): a clean run, and what clusters do to jobs.

Every fault ends in the same tables, byte for byte, as the undisturbed run, and nothing that was finished is computed again.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from project import COLD, Project

LOCAL = Path(__file__).parent.parent / "slurm/local_slurm.py"
STEPS, SAVE_EVERY = 150, 10
# The executor looks after 8 s, then ever less often: most jobs here have ended by then.
QUICK = ("--slurm-init-seconds-before-status-checks", "8", "--seconds-between-status-checks", "1", "--latency-wait", "10")
SUMMARY = "results/tiny/summary.json"


def slurm_command(*words):
    subprocess.run([sys.executable, str(LOCAL), *words], check=True)


@pytest.fixture(scope="session")
def slurm():
    slurm_command("start", "--nodes", "2", "--cpus", "2", "--memory", "8000", "--gpus", "2")
    yield
    slurm_command("stop")


class OnSlurm(Project):
    """A project whose jobs go to Slurm; training is long enough to be disturbed."""

    def __init__(self, root, folder, change=None):
        super().__init__(root, folder, COLD)
        self.environment["PRESTO_BENCH_SHARED"] = "1"  # one machine: its /tmp is every node's /tmp

        def longer(raw):
            raw["arms"][1] |= {"steps": STEPS, "save_every": SAVE_EVERY}
            if change:
                change(raw)

        self.config(longer)

    def command(self, *words):
        return [*super().command(*words), "--profile", "slurm", "--jobs", "2", *QUICK]

    def start(self, *words) -> subprocess.Popen:
        with open(self.path / "said.txt", "w") as said:
            return subprocess.Popen(self.command(*words), cwd=self.path, env=self.environment, stdout=said, stderr=said)

    def said(self) -> str:
        return (self.path / "said.txt").read_text()

    def finish(self, head: subprocess.Popen) -> str:
        assert head.wait(timeout=600) == 0, self.said()[-4000:]
        return self.said()

    def wait_for(self, pattern: str, head: subprocess.Popen) -> list[Path]:
        deadline = time.monotonic() + 300
        while not (found := list((self.path / "results/tiny").glob(pattern))):
            assert head.poll() is None, self.said()[-4000:]
            assert time.monotonic() < deadline, f"no {pattern}\n{self.said()[-4000:]}"
            time.sleep(0.02)
        return found

    def training_process(self) -> psutil.Process:
        scripts = [p for p in psutil.process_iter(["cmdline"]) if self._trains(p.info["cmdline"] or [])]
        return max(scripts, key=lambda process: process.create_time())

    def _trains(self, words) -> bool:
        return str(self.path / ".snakemake/scripts") in " ".join(words) and any(w.endswith("finetune.py") for w in words)

    def steps(self) -> list[dict]:
        lines = (self.path / "results/tiny/models/tiny/da/seed0.metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def steps_so_far(self) -> Path:
        """The log of a training that is not done."""
        (log,) = (self.path / "results/tiny").glob("work/finetune_arm/*/metrics.jsonl")
        return log

    def mark_steps(self) -> None:
        """Sign the log of the steps so far: what is computed again will not be signed."""
        log = self.steps_so_far()
        log.write_text("".join(line.replace("{", '{"signed": true, ', 1) + "\n" for line in log.read_text().splitlines()))

    def weights(self) -> bytes:
        return (self.path / "results/tiny/models/tiny/da/seed0/model.safetensors").read_bytes()


@pytest.fixture(scope="session")
def calm(root, slurm, tmp_path_factory):
    """The undisturbed run, on Slurm."""
    project = OnSlurm(root, tmp_path_factory.mktemp("calm") / "project")
    project.finish(project.start(SUMMARY))
    return project


def same(project: OnSlurm, calm: OnSlurm) -> None:
    assert project.weights() == calm.weights()
    assert project.tables() == calm.tables()
    assert [line["step"] for line in project.steps()] == list(range(1, STEPS + 1))


@pytest.mark.slurm
def test_the_literal_profile_runs_to_the_summary_and_a_second_run_has_nothing_to_do(calm):
    summary = json.loads((calm.path / SUMMARY).read_text())
    assert summary["scores"]["tiny"]["da"]["guided"]["standin"]["n"] == 8
    assert re.search(r"jobs +\d+ finished, 0 repeated, 0 failed", calm.said())
    head = calm.start(SUMMARY)
    assert head.wait() == 0
    assert "Nothing to be done" in calm.said()


@pytest.mark.slurm
@pytest.mark.faults
def test_a_training_that_is_killed_is_submitted_again_and_goes_on(root, calm, tmp_path):
    project = OnSlurm(root, tmp_path / "project")
    head = project.start(SUMMARY)
    project.wait_for(f"work/finetune_arm/*/checkpoint-{4 * SAVE_EVERY}/complete", head)
    project.training_process().kill()
    time.sleep(0.5)
    project.mark_steps()
    assert "Trying to restart job" in project.finish(head)
    assert sum("signed" in line for line in project.steps()) >= 4 * SAVE_EVERY
    same(project, calm)


@pytest.mark.slurm
@pytest.mark.faults
@pytest.mark.slow
def test_at_its_time_limit_a_training_saves_and_is_submitted_again_with_more_time(root, slurm, tmp_path):
    """A minute is too short; no checkpoint is due before the end, so that what it goes on from was saved on SIGTERM."""

    def too_long(raw):
        raw["arms"][1] |= {"steps": 6000, "save_every": 10_000}
        raw["models"][0]["resources"] = {"mem_mb": 2000, "runtime": 1}

    project = OnSlurm(root, tmp_path / "project", too_long)
    head = project.start("results/tiny/models/tiny/da/seed0")
    project.wait_for("work/finetune_arm/*/checkpoint-*/complete", head)
    project.mark_steps()
    assert "Trying to restart job" in project.finish(head)
    steps = project.steps()
    assert [line["step"] for line in steps] == list(range(1, 6001))
    assert 0 < sum("signed" in line for line in steps) < 6000


@pytest.mark.slurm
@pytest.mark.faults
def test_a_job_that_runs_out_of_memory_is_submitted_again_with_more(root, calm, tmp_path):
    """350 MB are too little for torch and a model of a million parameters; three times as much is not."""
    project = OnSlurm(root, tmp_path / "project", lambda raw: raw["models"][0].update(resources={"mem_mb": 350}))
    said = project.finish(project.start(SUMMARY))
    assert "Trying to restart job" in said
    same(project, calm)


@pytest.mark.slurm
@pytest.mark.faults
def test_a_node_that_dies_in_the_middle_of_a_training(root, calm, tmp_path):
    project = OnSlurm(root, tmp_path / "project")
    head = project.start(SUMMARY)
    project.wait_for(f"work/finetune_arm/*/checkpoint-{3 * SAVE_EVERY}/complete", head)
    node = project.training_process().environ()["SLURMD_NODENAME"]
    slurm_command("kill-node", node)
    try:
        project.mark_steps()
        project.finish(head)
    finally:
        slurm_command("start-node", node)
    assert sum("signed" in line for line in project.steps()) >= 3 * SAVE_EVERY
    same(project, calm)


@pytest.mark.slurm
@pytest.mark.faults
def test_a_head_that_is_killed_leaves_orphans_which_the_next_one_cancels_and_a_second_head_is_refused(root, calm, tmp_path):
    project = OnSlurm(root, tmp_path / "project")
    head = project.start(SUMMARY)
    project.wait_for(f"work/finetune_arm/*/checkpoint-{3 * SAVE_EVERY}/complete", head)
    second = project.run(SUMMARY, ok=False)
    assert "lock" in second.lower()
    head.kill()
    head.wait()
    orphan = project.training_process()
    project.run("--unlock")
    head = project.start(SUMMARY)
    gone = time.monotonic() + 120
    while orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < gone
        time.sleep(0.02)
    assert len(project.steps_so_far().read_text().splitlines()) < STEPS  # it did not simply come to its end
    project.mark_steps()
    assert "of an earlier run that died" in project.finish(head)
    assert sum("signed" in line for line in project.steps()) >= 3 * SAVE_EVERY
    same(project, calm)


@pytest.mark.slurm
@pytest.mark.parametrize("form", ["gpu", "gres"])
def test_gpus_are_asked_for_in_the_form_that_the_site_takes(slurm, root, tmp_path, form):
    """What Slurm gave a training stands in its environment."""

    def with_gpu(raw):
        raw["gpu_form"] = form
        raw["models"][0]["resources"] = {"mem_mb": 2000, "gpu": 1}

    project = OnSlurm(root, tmp_path / "project", with_gpu)
    head = project.start("results/tiny/models/tiny/da/seed0")
    project.wait_for("work/finetune_arm/*/metrics.jsonl", head)
    assert project.training_process().environ()["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    project.finish(head)
