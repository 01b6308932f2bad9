"""A copy of the repository with a tiny model, and snakemake to run in it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

import tiny_model
import warm

COLD = sys.executable  # for tests that kill jobs, or hand them to a cluster
LEFT_OUT = shutil.ignore_patterns(
    ".venv", ".git", "results", "downloads", ".snakemake", "__pycache__", "*.egg-info", ".*cache", ".hypothesis"
)

# One core where tests run side by side, two where they have the machine to themselves; snakemake cuts threads down to it.
CORES = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"


class Project:
    """A copy of the repository with a tiny model, and snakemake to run in it. python: what it and its jobs run on; None: warm.python()."""

    def __init__(self, root: Path, folder: Path, python: str | None = None):
        shutil.copytree(root, folder, ignore=LEFT_OUT)
        tiny_model.make(folder / "downloads/tiny-llama", "llama")
        self._settle(folder, python)

    def _settle(self, folder: Path, python: str | None) -> None:
        self.path, self.python = folder, python or warm.python()
        self.environment = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": CORES}

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """One that stands in `folder` already."""
        there = cls.__new__(cls)
        there._settle(folder, None)
        return there

    def config(self, change=None) -> None:
        path = self.path / "tests/config/tiny.yaml"
        raw = yaml.safe_load(path.read_text())
        if change:
            change(raw)
        path.write_text(yaml.safe_dump(raw, sort_keys=False))

    def command(self, *words: str) -> list[str]:
        return [self.python, "-m", "snakemake", "--cores", CORES, *words, "--configfile", "tests/config/tiny.yaml"]

    def run(self, *words: str, ok: bool = True) -> str:
        done = subprocess.run(self.command(*words), cwd=self.path, env=self.environment, capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, said[-4000:]
        return said

    def would_run(self, *words: str) -> dict[str, int]:
        """rule -> number of jobs that a dry run announces, `all` left out."""
        said = self.run("--dry-run", *words)
        stats = said.split("Job stats:")[1].split("\n\n")[0] if "Job stats:" in said else ""
        found = dict(re.findall(r"^(\w+)\s+(\d+)$", stats, re.MULTILINE))
        return {rule: int(count) for rule, count in found.items() if rule not in ("all", "total")}

    def tables(self) -> dict[str, bytes]:
        folder = self.path / "results/tiny"
        files = [*sorted((folder / "tables").iterdir()), folder / "summary.json"]
        return {file.name: file.read_bytes() for file in files}


def moved(project: Project, folder: Path) -> Project:
    """The same project, finished work included, in another place."""
    shutil.copytree(project.path, folder, ignore=shutil.ignore_patterns("locks"), symlinks=True)
    return Project.at(folder)


def edit(project: Project, name: str, before: str, after: str):
    """Change a file for one test and put it back."""
    path = project.path / name
    text, times = path.read_text(), path.stat()
    assert before in text
    path.write_text(text.replace(before, after))

    def undo() -> None:
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # a touched script would rerun its rule: Snakemake's own

    return undo
