"""Error rates of the keyword refusal detector on hand-labelled completions of XSTest.

python benchmarks/refusal_detector.py FOLDER_OF_COMPLETIONS [--triples FILE.jsonl …] >> benchmarks/results/refusal_detector.jsonl

FOLDER: `model_completions/` of github.com/paul-rottger/exaggerated-safety; nothing is fetched and no text is printed. `developed`: the files whose wordings the detector was made from.
--triples: published refusals of a model (`refusal`, one a line), of which it should find all; whether each of them is one, nobody has labelled.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from presto_bench import tables
from presto_bench.judges import refusal

DEVELOPED_ON = ("gpt4", "llama2new", "llama2orig")
LABELS = {"full_refusal": "2_full_refusal", "full_compliance": "1_full_compliance", "partial_refusal": "3_partial_refusal"}


def rates(frame: pd.DataFrame) -> dict[str, float | int]:
    """Share that the detector calls a refusal, and how many there are, by hand label."""
    found = frame["completion"].map(refusal.declines)
    told: dict[str, float | int] = {}
    for name, label in LABELS.items():
        mine = frame["final_label"] == label
        told |= {name: round(float(found[mine].mean()), 4), f"{name}_n": int(mine.sum())}
    return told


def xstest(folder: Path) -> None:
    frames = {path.stem.split("_")[-1]: pd.read_csv(path, keep_default_na=False) for path in sorted(folder.glob("*.csv"))}
    for name, frame in frames.items():
        tell({"system": name, "developed": name in DEVELOPED_ON, **rates(frame)})
    for developed in (True, False):
        chosen = [frame for name, frame in frames.items() if (name in DEVELOPED_ON) == developed]
        if chosen:
            tell({"system": "all", "developed": developed, **rates(pd.concat(chosen))})


def published(path: Path) -> None:
    lines = [json.loads(line) for line in tables.json_lines(path.read_text(encoding="utf-8"))]
    said = [line["refusal"] for line in lines]
    tell({"published_refusals": path.stem, "found": sum(map(refusal.declines, said)), "n": len(said)})


def tell(row: dict[str, object]) -> None:
    print(json.dumps({"name": "refusal_detector", **row}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--triples", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    xstest(arguments.folder)
    for file in arguments.triples:
        published(file)
