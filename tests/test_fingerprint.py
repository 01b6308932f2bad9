"""params.code changes with what a stage's code does, and with nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from presto_bench import fingerprint

PROBE = "from presto_bench import fingerprint; print(fingerprint.code_hash(['presto_bench.stages.{stage}']))"


def code_of(stage: str, source: Path) -> str:
    """The stage's hash as a fresh process sees it, with the package of `source`."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(stage=stage)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(source)},
    )
    return done.stdout.strip()


@pytest.fixture
def source(root, tmp_path):
    return Path(shutil.copytree(root / "src", tmp_path / "src"))


def test_comments_and_docstrings_are_no_code(source):
    before = code_of("prompts", source)
    path = source / "presto_bench/standin/policy.py"
    path.write_text(path.read_text().replace('"""The table `prompts`', '"""Now told otherwise') + "\n# a remark\n")
    assert code_of("prompts", source) == before


def test_every_module_reruns_exactly_the_stages_that_reach_it(source):
    """An edit is planted in every module; the stages whose closure holds it change, and no others."""
    package = source / "presto_bench"
    stages = [path.stem for path in sorted((package / "stages").glob("[a-z]*.py"))]
    before = {stage: code_of(stage, source) for stage in stages}
    for path in [
        package / "presto.py",
        package / "stats.py",
        package / "attacks/guided.py",
        package / "figures/style.py",
        package / "tables.py",
    ]:
        original = path.read_text()
        path.write_text(original + "\nPLANTED = 1\n")
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        changed = {stage for stage in stages if code_of(stage, source) != before[stage]}
        path.write_text(original)
        assert changed == {stage for stage in stages if module in fingerprint.closure(f"presto_bench.stages.{stage}")}, module


def test_closures_are_what_the_layout_says():
    """Written by hand: a figure's style concerns no model, the objective concerns no attack."""
    figure = fingerprint.closure("presto_bench.stages.figure")
    assert "presto_bench.training" not in figure and "presto_bench.figures.style" in figure
    attack = fingerprint.closure("presto_bench.stages.attack")
    assert "presto_bench.training" not in attack and "presto_bench.judges.standin" not in attack
    assert "presto_bench.presto" in fingerprint.closure("presto_bench.stages.finetune")
    assert "presto_bench.stats" in fingerprint.closure("presto_bench.stages.tables")


def test_a_plug_in_counts_with_the_stage_that_runs_it():
    plain = fingerprint.code_hash(["presto_bench.stages.attack"])
    assert fingerprint.code_hash(["presto_bench.stages.attack", "presto_bench.attacks.guided"]) != plain
