"""Where a run's time and memory went, by rule, from its `benchmark:` files.

python benchmarks/stages.py results/standin > benchmarks/results/demo.md
"""

import sys
from pathlib import Path

import pandas as pd


def table(run: Path) -> pd.DataFrame:
    """Jobs, wall-clock seconds and peak memory (MB) by rule, dearest first."""
    folder = run / "benchmarks"
    rows = []
    for path in sorted(folder.rglob("*.tsv")):
        found = pd.read_csv(path, sep="\t", na_values="-").iloc[0]
        rows.append(
            {"rule": path.relative_to(folder).parts[0].removesuffix(".tsv"), "seconds": found["s"], "peak_mb": found["max_rss"]}
        )
    grouped = pd.DataFrame(rows).groupby("rule")
    result = grouped.agg(jobs=("seconds", "size"), seconds=("seconds", "sum"), peak_mb=("peak_mb", "max"))
    result["share"] = result["seconds"] / result["seconds"].sum()
    return result.sort_values("seconds", ascending=False).reset_index()


if __name__ == "__main__":
    found = table(Path(sys.argv[1]))
    print(f"# Where the time goes: `{sys.argv[1]}`\n")
    print("From Snakemake's `benchmark:` files; 2 noisy cores, so read the shares rather than the seconds.\n")
    print(found.to_markdown(index=False, floatfmt=("", "d", ".0f", ".0f", ".1%")))
    print(f"\nSum: {found['seconds'].sum() / 60:.1f} minutes; highest peak: {found['peak_mb'].max() / 1000:.2f} GB.")
