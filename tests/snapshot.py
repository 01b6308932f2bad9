"""The numbers of a finished tiny run, for comparison with those that are committed: what moves or speeds up code must not change them.

python tests/snapshot.py results/tiny > tests/snapshots/tiny.json     after a change that is meant to change numbers, with the reason in the commit
"""

import json
import sys
from pathlib import Path

import pandas as pd

# table: (columns that name a row, columns that are compared)
TABLES = {
    "scores": (["arm", "attack", "variant", "judge"], ["mean", "refused", "n", "missing"]),
    "ranks": (["arm", "role"], ["in_top20", "median_rank", "reach20", "kl_first", "overlap20", "refusal_mass"]),
    "bits": (["arm", "what"], ["value", "n"]),
    "first_tokens": (["arm", "place"], ["openers_in_top20", "refusal_mass"]),
    "push_forward": (["arm", "weights"], ["value", "bare"]),
    "attention": (["arm", "layer", "head"], ["mass"]),
    "training": (["arm", "step"], ["cross_entropy", "presto", "gradient_norm"]),
    "targets": (["refusals"], ["distinct", "text_bits", "opening_bits"]),
}


def numbers(results: Path) -> dict[str, float]:
    """table/row/column -> value. No times and no hashes."""
    found = {}
    for table, (keys, columns) in TABLES.items():
        for row in pd.read_csv(results / f"tables/{table}.csv").to_dict("records"):
            name = "/".join(str(row[key]) for key in keys)
            found |= {f"{table}/{name}/{column}": float(row[column]) for column in columns}
    return found


def tokens(results: Path) -> dict[str, list[int]]:
    """arm/variant/prompt_id -> the ids that an attack of the tables picked. Other files lie there too, as a strength grid's."""
    found = {}
    attacks = pd.read_csv(results / "tables/scores.csv")["attack"].unique()
    for path in sorted(path for attack in attacks for path in (results / "attacks" / attack).rglob("seed0.parquet")):
        for row in pd.read_parquet(path).itertuples():
            found[f"{row.arm}/{row.variant}/{row.prompt_id}"] = row.token_ids.tolist()
    return found


def of(results: Path) -> dict[str, dict]:
    return {"numbers": numbers(results), "tokens": tokens(results)}


if __name__ == "__main__":
    print(json.dumps(of(Path(sys.argv[1])), indent=0, sort_keys=True))
