"""The layout of a results folder has a version: which files there are, and what stands in them."""

import json
from pathlib import Path

from presto_bench import tables
from presto_bench.errors import UserError

VERSION = 1  # raise it with a change after which an older folder's files would be read wrongly
STAMP = "layout.json"


def require_current(results: Path) -> None:
    """Refuse a folder that another layout has made; an empty or absent one is fine."""
    found = version(results)
    if found in (None, VERSION):
        return
    maker = "an older" if found < VERSION else "a newer"
    raise UserError(
        results,
        f"was made by {maker} version of presto-bench (layout {found}, this one has {VERSION})",
        f"move it away (mv {results} {results}.layout{found}) and run again, or use the version that made it, whose commit "
        "its manifest.json names",
    )


def version(results: Path) -> int | None:
    """Of a results folder; None where nothing is made yet. A folder with data and without a stamp is from before there was one."""
    stamp = results / STAMP
    if stamp.exists():
        return int(json.loads(stamp.read_text())["version"])
    return 0 if (results / "data").exists() else None


def stamp(results: Path) -> None:
    if not (results / STAMP).exists():
        tables.write_text(results / STAMP, json.dumps({"version": VERSION}) + "\n")
