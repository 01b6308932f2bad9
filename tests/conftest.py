"""What tests share: the repository's root, tiny models of each family, and the real SmolLM2."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from hypothesis import settings

from presto_bench import config

ROOT = Path(__file__).parent.parent

# No test is timed: on a busy machine an example may take as long as it likes. CI draws the same examples for the same commit; everywhere else they are new each time.
settings.register_profile("untimed", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("untimed")


# Files that take longest, longest first: two workers end together only if none of these is begun last.
LONG = (
    "test_workflow",
    "test_reruns",
    "test_judges_workflow",
    "test_judges_online",
    "test_autorap",
    "test_training",
    "test_facts",
)


def pytest_addoption(parser):
    parser.addoption("--short", action="store_true", help="the paper's DAG on one model family instead of three")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


def once(tmp_path_factory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is made by whichever worker needs it first, and that all workers share: read it or copy it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, mark = shared / name, shared / f"{name}.made"
    with FileLock(f"{folder}.lock"):
        if not mark.exists():
            make(folder)
            mark.touch()
    return folder


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def raw_config() -> dict:
    """The demo's arms with every kind of attack, judge and task, as a plain mapping, fresh for each test."""
    return yaml.safe_load((ROOT / "config/experiments/standin_full.yaml").read_text()) | {"experiment": "standin"}


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory):
    """Folder of the real SmolLM2-135M-Instruct, fetched and converted as the workflow does it."""
    from presto_bench.lm import models

    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    entry = config.load(raw).models[0]
    return once(tmp_path_factory, "smollm2", lambda folder: models.fetch(entry, folder, ROOT / "downloads"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of tests/config/tiny.yaml, this worker's own copy; whoever changes something in it puts it back."""
    from project import Project, moved

    made = once(tmp_path_factory, "finished", lambda folder: Project(ROOT, folder).run("--cores", "2"))
    return moved(Project.at(made), tmp_path_factory.mktemp("copy") / "project")
