"""What tests share: the repository's root, tiny models of each family, and the real SmolLM2."""

from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from presto_bench import config

ROOT = Path(__file__).parent.parent

# No test is timed: on a busy machine an example may take as long as it likes.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items) -> None:
    """Side by side (pytest -n 2 --dist loadgroup): what shares a dear fixture in one process, every other file in one too.

    Fault tests share nothing: each goes where there is room.
    """
    for item in items:
        if not item.get_closest_marker("faults"):
            shared = (name for name in ("finished", "smollm2") if name in item.fixturenames)
            item.add_marker(pytest.mark.xdist_group(next(shared, item.path.stem)))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def raw_config() -> dict:
    """The default experiment as a plain mapping, fresh for each test."""
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory):
    """Folder of the real SmolLM2-135M-Instruct, fetched and converted as the workflow does it."""
    from presto_bench import models

    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    entry = config.load(raw).models[0]
    folder = tmp_path_factory.mktemp("smollm2") / "model"
    models.fetch(entry, folder, ROOT / "downloads")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of config/tiny.yaml; whoever changes something in it puts it back."""
    from project import Project

    project = Project(ROOT, tmp_path_factory.mktemp("finished") / "project")
    project.run()
    return project
