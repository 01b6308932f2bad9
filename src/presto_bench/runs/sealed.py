"""Record of runs that used the sealed requests: reserved for one run, and for claims committed before it."""

import csv
import json
import time
from pathlib import Path

from presto_bench.runs import manifest

LEDGER = "sealed.jsonl"  # beside the experiments' folders: an experiment that is deleted has opened them all the same
# Runs whose results are published with this package.
PUBLISHED = Path(__file__).parents[1] / "policies/data/sealed_openings.csv"


def note(root: Path) -> None:
    """Write down that the experiment in `root` asks them from now on."""
    opening = {"experiment": root.name, "opened": time.strftime("%Y-%m-%d"), "commit": manifest.git_state()["commit"] or ""}
    with open(root.parent / LEDGER, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(opening) + "\n")


def openings(root: Path) -> list[dict[str, str]]:
    """Every experiment that opened them, first opening first: published ones, and those of this folder."""
    path = root.parent / LEDGER
    own = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    with open(PUBLISHED, encoding="utf-8", newline="") as handle:
        published = list(csv.DictReader(handle))
    first: dict[str, dict[str, str]] = {}
    for opening in [*published, *own]:
        first.setdefault(opening["experiment"], opening)
    return list(first.values())
