"""Whether claims were committed before a run, from git itself."""

import subprocess

import pytest

from presto_bench.runs import stated


def git(folder, *words):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout.strip()


def commit(folder, text, name="claims.yaml"):
    path = folder / "config" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-m", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


def test_committed_before_the_run(repository):
    commit(repository, "the claims")
    run = commit(repository, "code", "other")
    assert stated.stated(repository / "config/claims.yaml", [run, run]) == "before"


def test_committed_behind_the_run_or_not_at_all(repository):
    run = commit(repository, "code", "other")
    (repository / "config/claims.yaml").write_text("the claims")
    assert stated.stated(repository / "config/claims.yaml", [run]) == "after"
    commit(repository, "the claims")
    assert stated.stated(repository / "config/claims.yaml", [run]) == "after"


def test_an_edited_claim_is_another_claim(repository):
    run = commit(repository, "the claims")
    (repository / "config/claims.yaml").write_text("other claims")
    assert stated.stated(repository / "config/claims.yaml", [run]) == "after"


def test_one_job_that_is_older_is_enough(repository):
    old = commit(repository, "code", "other")
    new = commit(repository, "the claims")
    assert stated.stated(repository / "config/claims.yaml", [new, old]) == "after"


def test_an_older_text_that_was_restored_counts(repository):
    commit(repository, "the claims")
    run = commit(repository, "other claims")
    (repository / "config/claims.yaml").write_text("the claims")
    assert stated.stated(repository / "config/claims.yaml", [run]) == "before"


def test_a_shallow_clone_does_not_know(repository, tmp_path):
    commit(repository, "the claims")
    commit(repository, "other claims")
    run = commit(repository, "code", "other")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(shallow))
    (shallow / "config/claims.yaml").write_text("the claims")
    assert stated.stated(shallow / "config/claims.yaml", [run]) == "not known"


@pytest.mark.parametrize("commits", [[], [None], ["0" * 40]])
def test_a_run_outside_of_a_checkout_does_not_know(repository, commits):
    commit(repository, "the claims")
    assert stated.stated(repository / "config/claims.yaml", commits) == "not known"


def test_no_repository_at_all(tmp_path):
    (tmp_path / "claims.yaml").write_text("the claims")
    assert stated.stated(tmp_path / "claims.yaml", ["0" * 40]) == "not known"
