"""Whether a file was committed before a run: what makes a claim one that was stated before its numbers were seen."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

BEFORE, AFTER, UNKNOWN = "before", "after", "not known"


def stated(path: Path, commits: Iterable[str | None]) -> str:
    """`before` if this very text of the file lies in every one of these commits or in an ancestor of it; `after` if it does not.

    commits: those that a run's jobs ran at. `not known` without git, for commits that are not here, and in a clone with a part of its history.
    """
    asked = set(commits)
    if not asked or None in asked:
        return UNKNOWN
    found = {_in_history(path.resolve(), str(commit)) for commit in asked}
    return next(answer for answer in (UNKNOWN, AFTER, BEFORE) if answer in found)


def _in_history(path: Path, commit: str) -> str:
    top = _git(path.parent, "rev-parse", "--show-toplevel")
    if top is None or _git(path.parent, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        return UNKNOWN
    name = path.relative_to(Path(top).resolve()).as_posix()
    blob = _git(path.parent, "hash-object", "--", str(path))
    changed = (_git(path.parent, "rev-list", commit, "--", f":/{name}") or "").split()
    if any(_git(path.parent, "rev-parse", "--verify", "--quiet", f"{one}:{name}") == blob for one in changed):
        return BEFORE
    return UNKNOWN if _git(path.parent, "rev-parse", "--is-shallow-repository") == "true" else AFTER


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
