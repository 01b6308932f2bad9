"""Puts the workflow into the wheel, so that `presto-bench run` works where there is no checkout; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

TRAVELS = ("Snakefile", "rules", "workflow", "config", "envs", "slurm", "profiles")


class WithWorkflow(build_py):
    """The package as always, and a copy of what lies beside it in the repository."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # there the checkout itself is at hand
            return
        target = Path(self.build_lib, "presto_bench/_workflow")
        shutil.rmtree(target, ignore_errors=True)
        for name in TRAVELS:
            source = Path(__file__).parent / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target / name)


setup(cmdclass={"build_py": WithWorkflow})
