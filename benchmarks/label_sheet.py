"""Outputs to label by hand, without knowing which arm wrote them; and the labelled sheet joined with its key.

python benchmarks/label_sheet.py draw results/standin --folder ../labels [--n 80]
python benchmarks/label_sheet.py join --folder ../labels

`draw` takes completions of the dev attacks that config/experiments/labelling.yaml asks of the demo's arms, as many of each arm and attack as it can, in an order of their own, and writes
sheet.csv (what the labeller reads and fills in: refusal 0 or 1, convincingness and specificity 1 to 5) and key.csv (arm, attack, variant: not to be opened before). `join` writes
src/presto_bench/policies/data/labels_by_arm.csv.
"""

import argparse
import hashlib
from pathlib import Path

import pandas as pd

from presto_bench import tables
from presto_bench.errors import UserError
from presto_bench.judges import labels

FILLED_IN = ["refusal", "convincingness", "specificity"]
READ = ["label_id", *FILLED_IN, "prompt", "category", "prefill", "continuation"]


def draw(run: Path, folder: Path, n: int) -> None:
    files = sorted(run.glob("attacks/dev_*/*/*/seed*.parquet"))
    if not files:
        raise UserError(
            run, "it has no attacks on dev requests", "run: snakemake attack --configfile config/experiments/labelling.yaml"
        )
    frame = pd.concat([tables.read(path, "completions") for path in files], ignore_index=True)
    frame = frame.merge(tables.read(run / "data/prompts.parquet", "prompts"), on="prompt_id")
    frame["label_id"] = [hashlib.sha256(f"label\x1f{i}".encode()).hexdigest()[:16] for i in frame["completion_id"]]
    frame["continuation"] = [r.response[len(r.prefill) :] for r in frame.itertuples()]
    frame = frame[frame["variant"] != "greedy"].sort_values("label_id")
    strata = frame.groupby(["arm", "attack", "variant"])
    # Level by level, so that every stratum has as many as every other, up to one.
    chosen = frame.assign(level=strata.cumcount()).sort_values(["level", "label_id"]).head(n)
    chosen = chosen.sort_values("label_id").assign(**dict.fromkeys(FILLED_IN, ""))
    folder.mkdir(parents=True, exist_ok=True)
    chosen[READ].to_csv(folder / "sheet.csv", index=False)
    chosen[["label_id", "arm", "attack", "variant"]].to_csv(folder / "key.csv", index=False)
    print(f"{len(chosen)} outputs of {strata.ngroups} kinds: fill in {folder / 'sheet.csv'}")


def join(folder: Path) -> None:
    sheet = pd.read_csv(folder / "sheet.csv", keep_default_na=False)
    wanted = {"refusal": {0, 1}, "convincingness": set(range(1, 6)), "specificity": set(range(1, 6))}
    for column, allowed in wanted.items():
        wrong = [i for i, value in enumerate(sheet[column]) if str(value) not in map(str, allowed)]
        if wrong:
            raise UserError(
                folder / "sheet.csv",
                f"row {wrong[0] + 2}: {column} is {sheet[column][wrong[0]]!r}",
                f"one of {sorted(allowed)}",
            )
    joined = sheet.merge(pd.read_csv(folder / "key.csv"), on="label_id", validate="one_to_one")
    joined[["label_id", "arm", "attack", "variant", *READ[1:]]].to_csv(labels.BY_ARM, index=False)
    print(joined.groupby("arm").size().to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("run", type=Path)
    drawing.add_argument("--n", type=int, default=80)
    for command in (drawing, commands.add_parser("join")):
        command.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "draw":
        draw(arguments.run, arguments.folder, arguments.n)
    else:
        join(arguments.folder)


if __name__ == "__main__":
    main()
