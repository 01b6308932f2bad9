"""Whose Slurm jobs a new head may cancel, and what it refuses to start from."""

import pytest

from presto_bench.errors import UserError
from presto_bench.runs import cluster

COMMAND = "/env/bin/python3 -m snakemake --snakefile '/p/Snakefile' --target-jobs 'prompts:' --cores 'all' {config} --executor slurm-jobstep --jobs 1"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config").mkdir()
    for name, experiment in (("config", "standin"), ("seeds", "seeds")):
        (tmp_path / f"config/{name}.yaml").write_text(f"experiment: {experiment}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", "standin"),
        ("--configfiles config/seeds.yaml", "seeds"),
        ("--configfiles config/config.yaml config/seeds.yaml", "seeds"),
        ("--configfiles config/seeds.yaml --config experiment=mine", "mine"),
        ("--configfiles config/gone.yaml", None),
    ],
)
def test_a_submitted_job_tells_its_experiment(folder, config, expected):
    script = "#!/bin/sh\n# This script was created by sbatch --wrap.\n\n" + COMMAND.format(config=config) + "\n"
    assert cluster.experiment_in(script, folder) == expected


def test_a_job_that_runs_something_else_is_nobodys(folder):
    assert cluster.experiment_in("#!/bin/sh\nsleep 100\n", folder) is None


def test_a_project_on_a_file_system_of_one_machine_is_refused_unless_somebody_is_sure(monkeypatch):
    from pathlib import Path

    monkeypatch.delenv(cluster.SURE, raising=False)
    local = next(
        (Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines() if line.split()[2] == "tmpfs"),
        None,
    )
    if local is None:
        pytest.skip("no tmpfs on this machine")
    with pytest.raises(UserError, match="tmpfs") as error:
        cluster.require_shared([local])
    assert cluster.SURE in error.value.mend
    monkeypatch.setenv(cluster.SURE, "1")
    cluster.require_shared([local])
