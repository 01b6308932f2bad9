"""The workflow travels with the package: a wheel, without the checkout, runs an experiment in an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tiny_model
import warm
from project import CORES, LEFT_OUT


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    source = Path(shutil.copytree(root, tmp_path_factory.mktemp("source") / "presto-bench", ignore=LEFT_OUT))
    wheels = tmp_path_factory.mktemp("wheels")
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(words, check=True)
    (made,) = wheels.glob("presto_bench-*.whl")
    return made


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    """The wheel's files, as an installation has them."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_the_workflow_the_lists_and_no_result(unpacked):
    package = unpacked / "presto_bench"
    for name in ("Snakefile", "rules/common.smk", "workflow/scripts/attack.py", "config/config.yaml", "slurm/config.yaml"):
        assert (package / "_workflow" / name).is_file(), name
    assert (package / "policies/data/dishes.csv").is_file() and (package / "judges/data/rubric.json").is_file()
    assert not list(package.rglob("*.parquet"))


def test_the_tiny_experiment_runs_in_an_empty_folder(unpacked, root, tmp_path):
    tiny_model.make(tmp_path / "downloads/tiny-llama", "llama")
    shutil.copy(root / "tests/config/tiny.yaml", tmp_path / "mine.yaml")
    environment = os.environ | {"PYTHONPATH": str(unpacked), "OMP_NUM_THREADS": CORES}
    start = tmp_path / "start.py"
    start.write_text("import sys; from presto_bench.cli import main; sys.exit(main(sys.argv[1:]))\n")
    words = [warm.python(), str(start), "run", "--config", "mine.yaml", "--cores", CORES]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert (tmp_path / "results/tiny/summary.json").stat().st_size > 0
    assert (tmp_path / "results/tiny/figures/scores.png").stat().st_size > 2000
    again = subprocess.run([*words, "--", "--dry-run"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_the_default_experiment_can_be_renamed_and_a_shipped_one_is_found_by_name(unpacked, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    start = tmp_path / "start.py"
    start.write_text("import sys; from presto_bench.cli import main; sys.exit(main(sys.argv[1:]))\n")

    def dry(*words: str) -> str:
        command = [warm.python(), str(start), "run", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout + done.stderr

    assert "results/mine/data/prompts.parquet" in dry(
        "--", "results/mine/data/prompts.parquet", "-n", "--config", "experiment=mine"
    )
    assert "results/seeds/data/prompts.parquet" in dry("--config", "seeds", "--", "results/seeds/data/prompts.parquet", "-n")


@pytest.mark.slow
def test_in_an_environment_of_its_own_the_tiny_experiment_runs_from_an_empty_folder(wheel, root, tmp_path):
    """torch first, at the lock's version, so that pip takes no other; then the wheel with what it asks for."""
    torch = next(line for line in (root / "requirements.lock").read_text().splitlines() if line.startswith("torch=="))
    bin = tmp_path / "venv/bin"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    for what in (torch, str(wheel)):
        subprocess.run([str(bin / "pip"), "install", "--quiet", what], check=True)
    folder = tmp_path / "mine"
    tiny_model.make(folder / "downloads/tiny-llama", "llama")
    shutil.copy(root / "tests/config/tiny.yaml", folder / "mine.yaml")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": CORES}
    words = [str(bin / "presto-bench"), "run", "--config", "mine.yaml", "--cores", CORES]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert (folder / "results/tiny/summary.json").stat().st_size > 0
