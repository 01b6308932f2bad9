"""Getting a source, checking it, and reading it as a table with our own column names."""

import hashlib
import json
import shutil
import urllib.error
import urllib.request
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from presto_bench import registry, tables
from presto_bench.errors import UserError

TIMEOUT = 60  # seconds without a byte
PACKAGED = "package:"
TEXT = "[text]"
TURNS = ("[user]", "[assistant]")  # columns of a file whose rows are conversations of two turns


def entry(name: str) -> Any:
    """A source's entry.

    Loaded by name, so that a new entry does not change the code hash of every stage that reads a source; rule `source`
    has its entry in its spec.
    """
    return registry.load("presto_bench.data.sources:SOURCES", name)[name]


def barrier(source: Any) -> str:
    """Why a source cannot be fetched."""
    return "behind a gate" if source.url else "no file is named"


def fetch(name: str, override: str | None, path: Path) -> dict[str, object]:
    """Put a source's file at `path`, checked; what was found goes into the manifest. A source that is taken from elsewhere keeps its columns."""
    source = entry(name)
    if source.gated and not override:
        raise UserError(
            f"sources.{name}", f"{source.what}: {barrier(source)}", f"{source.gated}: `source_overrides: {{{name}: FILE}}`"
        )

    def bring(temporary: Path) -> None:
        temporary.touch(mode=0o600 if source.harmful else 0o666)  # before the first byte is there
        _copy(name, override or source.url, temporary)

    tables.write_atomically(path, bring)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if source.sha256 and not override and digest != source.sha256:
        path.unlink()
        raise UserError(
            source.url,
            f"sha256 is {digest}, not {source.sha256}",
            "the file has changed or was cut: try again, or name a copy in source_overrides",
        )
    frame = read(name, path)
    if source.rows and not override and len(frame) != source.rows:
        raise UserError(source.url, f"{len(frame)} rows, not {source.rows}", "this is not the file that its name says")
    return {"source": name, "from": override or source.url, "sha256": digest, "rows": len(frame), "licence": source.licence}


def _copy(name: str, origin: str, target: Path) -> None:
    if origin.startswith(PACKAGED):
        target.write_bytes((resources.files("presto_bench") / origin.removeprefix(PACKAGED)).read_bytes())
        return
    if not origin.startswith(("http://", "https://")):
        if not Path(origin).is_file():
            raise UserError(f"source_overrides.{name}", f"there is no file {origin}", "correct the path")
        shutil.copyfile(origin, target)
        return
    request = urllib.request.Request(origin, headers={"User-Agent": "presto-bench"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply, open(target, "wb") as handle:
            shutil.copyfileobj(reply, handle)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UserError(
            origin,
            f"could not be fetched: {error}",
            f"check the network, or download it on another machine and set `source_overrides: {{{name}: FILE}}`",
        ) from error


def read(name: str, path: str | Path) -> pd.DataFrame:
    """A source's table: its columns, renamed to ours; text cells are never blank."""
    source, path = entry(name), Path(path)
    frame = _parse(source, path)
    missing = [column for column in source.columns if column not in frame.columns]
    if missing:
        raise UserError(
            path, f"source {name} has no column {', '.join(missing)}", f"its columns are: {', '.join(source.columns)}"
        )
    kept = [*source.columns, *(column for column in source.optional if column in frame.columns)]
    frame = frame.reindex(columns=kept).rename(columns=source.renamed)
    for column in ("prompt", "prefill", "refusal", "harmful", "answer", "category"):
        if column in frame.columns:
            _require_text(path, frame[column])
    return frame.reset_index(drop=True)


def _require_text(path: Path, column: pd.Series) -> None:
    blank = column.isna() | ~column.map(lambda value: isinstance(value, str) and bool(value.strip()))
    if blank.any():
        row = int(blank.to_numpy().argmax())
        raise UserError(path, f"row {row}: {column.name} is blank", "fill it in or delete the row")


def _turns(row: Any) -> dict[str, str]:
    """The two texts of a conversation: what the user asks and what is answered; other turns before them, such as a system prompt's, are left out."""
    said = {f"[{turn['role']}]": turn["content"] for turn in row}
    return {column: said.get(column, "") for column in TURNS}


def _parse(source: Any, path: Path) -> pd.DataFrame:
    try:
        match path.suffix.lstrip(".") or source.ending:
            case "csv":
                return pd.read_csv(path, keep_default_na=False, encoding="utf-8-sig")
            case "parquet":
                return pd.read_parquet(path)
            case "jsonl":
                rows = [json.loads(line) for line in tables.json_lines(path.read_text(encoding="utf-8"))]
                return pd.DataFrame(map(_turns, rows) if source.columns == TURNS else rows)
            case _:
                found = json.loads(path.read_text(encoding="utf-8-sig"))
                return pd.DataFrame({TEXT: found}) if source.columns == (TEXT,) else pd.DataFrame(found)
    except (ValueError, OSError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise UserError(path, f"not readable as {source.ending}: {error}", "fetch it anew, or give a whole copy") from error
