"""What tests share: the repository's root, tiny models of each family, and the real SmolLM2."""

from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from presto_bench import config

ROOT = Path(__file__).parent.parent

# No test is timed: on a busy machine an example may take as long as it likes.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


# Files whose tests share a fixture that is dear to make.
TOGETHER = {
    "finished": {"test_judges_workflow.py", "test_reruns.py", "test_status.py", "test_workflow.py"},
    "smollm2": {
        "test_chat.py",
        "test_facts.py",
        "test_judges_real.py",
        "test_likelihood.py",
        "test_models.py",
        "test_standin.py",
    },
}


class Together(LoadFileScheduling):
    """File by file, and the files of TOGETHER in one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.split("::", 1)[0]).name
        return next((name for name, files in TOGETHER.items() if file in files), file)


def pytest_xdist_make_scheduler(config, log):
    """For pytest -n 2 --dist loadfile; what else is asked for is left as it is."""
    return Together(config, log) if config.getvalue("dist") == "loadfile" else None


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
