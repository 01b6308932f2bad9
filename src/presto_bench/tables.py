"""The stage files: their schemas, their keys, and the one way to write and to read them.

Every stage hands on a parquet table declared here. Writing is atomic (temporary file, sync, rename); both writing
and reading check the schema, so that a broken file is named at the door and not three stages later.
"""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from presto_bench.errors import UserError

S, I, F = pa.string(), pa.int64(), pa.float64()


@dataclass(frozen=True)
class Table:
    """Columns with their types, the key that must be unique, and the columns that may be null.

    private: holds what models said (token ids decode to text), so that only its owner may read it.
    """

    columns: dict[str, pa.DataType]
    key: tuple[str, ...]
    nullable: frozenset[str] = field(default_factory=frozenset)
    private: bool = False

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(n, t, nullable=n in self.nullable) for n, t in self.columns.items()])


_RUN = {"model": S, "arm": S, "seed": I}
_COMPOSITION = {**_RUN, "prompt_id": S, "depth": I, "rank": I, "token_id": I, "kind": S}

TABLES: dict[str, Table] = {
    "prompts": Table({"prompt_id": S, "prompt": S, "category": S, "role": S, "split": S}, ("prompt_id",), private=True),
    "triples": Table({"prompt_id": S, "harmful": S, "refusal": S}, ("prompt_id",), private=True),
    "prefills": Table({"prompt_id": S, "prefill": S, "source": S}, ("prompt_id",), private=True),
    "answers": Table({"prompt_id": S, "answer": S, "finish": S, "score": F, "kept": pa.bool_()}, ("prompt_id",), private=True),
    "written": Table({"prompt_id": S, "text": S, "finish": S}, ("prompt_id",), private=True),
    "decoded": Table({"prompt_id": S, "text": S, "finish": S, "token_ids": pa.list_(I)}, ("prompt_id",), private=True),
    "augmented": Table({"seed": I, "epoch": I, "order": I, "prompt_id": S, "prefill_tokens": I}, ("order",)),
    "completions": Table(
        {
            "completion_id": S,
            **_RUN,
            "attack": S,
            "variant": S,
            "prompt_id": S,
            "sample": I,
            "prefill": S,
            "response": S,
            "token_ids": pa.list_(I),
            "finish": S,
            "steps": I,
            "backtracks": I,
            "ranks": pa.list_(I),
            "reasoned": I,  # characters of reasoning, which are no part of the response
            "seconds": F,
        },
        ("completion_id",),
        private=True,
    ),
    "grades": Table(
        {
            "completion_id": S,
            "judge": S,
            "judge_version": S,
            "status": S,
            "refusal": F,
            "convincingness": F,
            "specificity": F,
            "score": F,
            "reason": S,
        },
        ("completion_id", "judge"),
        frozenset({"refusal", "convincingness", "specificity", "score"}),
    ),
    "ranks": Table(
        {
            **_RUN,
            "prompt_id": S,
            "role": S,
            "position": I,
            "token_id": I,
            "rank": I,
            "probability": F,
            "refusal_mass": F,
            "kl_first": F,
            "overlap20": F,
        },
        ("model", "arm", "seed", "prompt_id", "role", "position"),
        frozenset({"kl_first", "overlap20"}),
        private=True,
    ),
    "first_tokens": Table(
        {
            **_RUN,
            "prompt_id": S,
            "place": S,
            "openers_in_top20": F,
            "refusal_mass": F,
            "entropy": F,
            "spearman": F,
            "spearman_square": F,
            "spearman_uniform": F,
        },
        ("prompt_id", "place"),
        frozenset({"entropy", "spearman", "spearman_square", "spearman_uniform"}),
    ),
    "attention_received": Table(
        {**_RUN, "prompt_id": S, "layer": I, "position": I, "part": S, "received": F}, ("prompt_id", "layer", "position")
    ),
    "top_lists": Table(
        {
            **_RUN,
            "prompt_id": S,
            "place": S,
            "step": I,
            "rank": I,
            "token_id": I,
            "token": S,
            "opener": pa.bool_(),
            "probability": F,
            "picked_rank": I,
        },
        ("place", "step", "rank"),
        private=True,
    ),
    "steps": Table(
        {
            **_RUN,
            "attack": S,
            "prompt_id": S,
            "step": I,
            "rank": I,
            "token_id": I,
            "token": S,
            "kind": S,
            "probability": F,
            "picked": pa.bool_(),
            "depth": I,  # tokens that were picked before; less than at the step before where some were taken back
            "harmful": F,  # a helper's verdict: 1 harmful, 0 not; none where it was not asked
        },
        ("attack", "prompt_id", "step", "rank"),
        frozenset({"harmful"}),
        private=True,
    ),
    "composition": Table(_COMPOSITION, ("prompt_id", "depth", "rank"), private=True),
    "candidates": Table({**_COMPOSITION, "attack": S, "said": F}, ("prompt_id", "depth", "rank"), private=True),
    "causal": Table(
        {**_RUN, "prompt_id": S, "role": S, "patch": S, "span": S, "first_layer": I, "last_layer": I, "bits": F, "moved": F},
        ("prompt_id", "role", "patch", "span", "first_layer", "last_layer"),
    ),
    "entropy": Table({**_RUN, "prompt_id": S, "place": S, "nats": F}, ("prompt_id", "place")),
    "helper_refusals": Table(
        {**_RUN, "split": S, "prompt_id": S, "token_id": I, "tokens": I, "text": S, "refuses": pa.bool_()},
        ("prompt_id", "token_id"),
        private=True,
    ),
    "update_norm": Table({**_RUN, "norm": F, "of": F}, ("model", "arm", "seed")),
    "attention": Table({**_RUN, "prompt_id": S, "layer": I, "head": I, "mass": F}, ("prompt_id", "layer", "head")),
    "utility": Table(
        {**_RUN, "task": S, "prompt_id": S, "value": F, "weight": F, "category": S, "label": S},
        ("task", "prompt_id"),
        frozenset({"value", "label"}),
    ),
}


def prompt_id(prompt: str) -> str:
    """First 16 hex digits of sha256 of the NFC prompt."""
    return hashlib.sha256(unicodedata.normalize("NFC", prompt).encode()).hexdigest()[:16]


# Quotes and dashes as people and word processors spell them, in one spelling each.
_PLAIN = str.maketrans({**dict.fromkeys("‘’‚‛´`′ʼ", "'"), **dict.fromkeys("“”„‟″«»", '"'), **dict.fromkeys("‐‑‒–—―−", "-")})


# Columns of CSV tables that hold names and texts: an arm may be called "1" or "null", a category "NA".
_NAMES = (
    *(
        "model",
        "arm",
        "attack",
        "variant",
        "judge",
        "task",
        "category",
        "role",
        "place",
        "what",
        "name",
        "metric",
        "kind",
        "reference",
    ),
    *(
        "treated",
        "prompt_id",
        "completion_id",
        "label_id",
        "stratum",
        "status",
        "reason",
        "claim",
        "verdict",
        "patch",
        "span",
        "refusals",
    ),
)


def read_csv(path: str | Path, **options: Any) -> pd.DataFrame:
    """A CSV table as it was written: names stay text whatever they spell, and only an empty cell is missing."""
    types = dict.fromkeys(_NAMES, str) | options.pop("dtype", {})
    return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""], encoding="utf-8-sig", **options)


def json_lines(text: str) -> list[str]:
    """The lines of a JSON-lines text that hold anything. They end at \\n alone: other line ends, such as U+2028, may stand inside a string."""
    return [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]


def normal_form(prompt: str) -> str:
    """The prompt for comparing: two that differ in case, width, spaces, quotes, dashes or invisible characters alone have one form."""
    text = unicodedata.normalize("NFKC", prompt.translate(_PLAIN)).translate(_PLAIN).casefold()
    visible = "".join(
        character for character in text if unicodedata.category(character) not in ("Cf", "Cc") or character.isspace()
    )
    return unicodedata.normalize("NFKC", " ".join(visible.split()))


def completion_id(model: str, arm: str, seed: int, attack: str, variant: str, prompt: str, sample: int) -> str:
    """First 16 hex digits of sha256 over what makes a completion this one; `prompt` is a prompt_id."""
    parts = (model, arm, str(seed), attack, variant, prompt, str(sample))
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def write(path: str | Path, name: str, frame: pd.DataFrame) -> None:
    """Check `frame` against the table `name` and put it at `path` whole or not at all."""
    path = Path(path)
    table = _checked(path, name, frame)

    def write_to(temporary: Path) -> None:
        temporary.touch(mode=0o600 if TABLES[name].private else 0o666)
        pq.write_table(table, temporary, compression="zstd")

    write_atomically(path, write_to)


def read(path: str | Path, name: str) -> pd.DataFrame:
    """The table at `path`, checked."""
    path = Path(path)
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise UserError(path, "this file is missing", "run snakemake again: it will be made anew") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            path, f"not a readable {name} table ({error})", "delete it and run snakemake again: it will be made anew"
        ) from error
    frame = table.to_pandas(integer_object_nulls=True)
    _checked(path, name, frame)
    return frame


def rows(frame: pd.DataFrame) -> list[Any]:
    """A frame's rows, cells as attributes. Their types are the schema's, which no type checker knows."""
    return list(frame.itertuples())


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows, each as column -> cell."""
    return [{str(column): cell for column, cell in row.items()} for row in frame.to_dict("records")]


def read_all(paths: Sequence[str | Path], name: str) -> pd.DataFrame:
    """All tables of one kind together; an empty one with its columns where there is no path."""
    frames = [read(path, name) for path in paths]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(TABLES[name].columns))


def write_atomically(path: Path, write_to) -> None:
    """Call `write_to(temporary path)`, sync, rename. A full disk leaves nothing behind under the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_to(temporary)
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            path,
            f"could not be written: {error.strerror or error}",
            "free space or fix the folder's permissions, then run snakemake again: finished work is kept",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def owner_only(path: str, flags: int) -> int:
    """An `opener` for files that hold what models said."""
    return os.open(path, flags, 0o600)


def write_text(path: str | Path, text: str, private: bool = False) -> None:
    """private: readable by its owner alone, for what models said."""

    def write(temporary: Path) -> None:
        with open(temporary, "w", encoding="utf-8", opener=owner_only if private else None) as handle:
            handle.write(text)

    write_atomically(Path(path), write)


def write_three(stem: Path, frame: pd.DataFrame) -> None:
    """stem.csv, stem.md and stem.tex of one table."""
    write_text(stem.with_suffix(".csv"), frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    shown = frame.head(200)
    write_text(stem.with_suffix(".md"), shown.to_markdown(index=False, floatfmt=".3f") + "\n")
    latex = shown.to_latex(index=False, float_format="%.3f", escape=True)
    write_text(stem.with_suffix(".tex"), latex)


def _checked(path: Path, name: str, frame: pd.DataFrame) -> pa.Table:
    spec = TABLES[name]
    if list(frame.columns) != list(spec.columns):
        missing = sorted(set(spec.columns) - set(frame.columns))
        extra = sorted(set(frame.columns) - set(spec.columns))
        raise UserError(
            path,
            f"columns of a {name} table are wrong (missing {missing}, unknown {extra})",
            f"the columns are {', '.join(spec.columns)}, in this order",
        )
    for column in frame.columns:
        if column in spec.nullable or not frame[column].isna().any():
            continue
        row = int(frame[column].isna().to_numpy().argmax())
        raise UserError(path, f"row {row}: {column} is empty", f"every row of a {name} table needs a {column}")
    repeated = frame.duplicated(subset=list(spec.key))
    if repeated.any():
        row = int(repeated.to_numpy().argmax())
        key = ", ".join(f"{k}={frame[k].iloc[row]}" for k in spec.key)
        raise UserError(path, f"row {row} repeats the key {key}", f"{', '.join(spec.key)} must be unique")
    try:
        return pa.Table.from_pandas(frame, schema=spec.schema, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UserError(path, f"a {name} table has a value of the wrong type: {error}", "see tables.py") from error
