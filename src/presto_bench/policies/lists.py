"""What the stand-in policies share: their lists in policies/data/, benign requests, and draws with natural frequencies."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from presto_bench import draws, tables
from presto_bench.config.standin import Limits
from presto_bench.errors import UserError

DATA = Path(__file__).parent / "data"
BRIEF = " Answer in one short paragraph."
ZIPF_EXPONENT = 0.6  # of the refusals' frequencies


def rows(name: str, may_be_empty: bool = False) -> list[dict[str, str]]:
    """A list's rows. may_be_empty: whether a row may say nothing, as a closing may."""
    path = DATA / name
    with open(path, encoding="utf-8", newline="") as handle:
        found = list(csv.DictReader(handle))
    for i, row in enumerate(found):
        if any(value is None for value in row.values()) or (not "".join(row.values()).strip() and not may_be_empty):
            raise UserError(f"{path}, row {i + 2}", "an empty or incomplete row", "fill it in or delete it")
    return found


def benign(split: str, limits: Limits) -> list[tuple[str, str, str, str]]:
    """(prompt, category, role, split) of a split's benign requests: a mixture of categories."""
    found = [row for row in rows("benign.csv") if row["split"] == split]
    found.sort(key=lambda row: tables.prompt_id(row["request"]))
    return [(row["request"] + BRIEF, row["category"], "benign", split) for row in found[: getattr(limits, split)]]


def zipf(texts: Sequence[str], *key: object) -> str:
    """A draw of which the first texts are the most frequent."""
    weights = [(rank + 1) ** -ZIPF_EXPONENT for rank in range(len(texts))]
    total = sum(weights)
    return texts[draws.generator(*key).choice(len(texts), p=[w / total for w in weights])]


def prompts_table(found: Sequence[tuple[str, str, str, str]]) -> pd.DataFrame:
    """The table `prompts` of rows (prompt, category, role, split)."""
    frame = pd.DataFrame(found, columns=["prompt", "category", "role", "split"])
    repeated = frame["prompt"].duplicated()
    if repeated.any():
        raise UserError(DATA, f"the request {frame['prompt'][repeated.idxmax()]!r} stands twice", "remove one of the two")
    frame.insert(0, "prompt_id", frame["prompt"].map(tables.prompt_id))
    return frame
