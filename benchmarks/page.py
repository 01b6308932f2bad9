"""How long the page of results takes to build, how large it is, and whether a large one still can be made.

python benchmarks/page.py RESULTS > benchmarks/results/page_<machine>.jsonl

RESULTS is a finished run's folder, such as results/standin. One JSON object a line: the run's own page, and a made-up one of 20 models x 8 arms x 313 requests.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import pandas as pd

from presto_bench import tables
from presto_bench.report.figures import style
from presto_bench.report.page import build
from presto_bench.report.page.charts import Shown

MODELS, ARMS, REQUESTS = 20, 8, 313


def of_run(results: Path) -> build.Found:
    """What the page of a finished run is made of."""
    frames = {path.stem: tables.read_csv(path) for path in (results / "tables").glob("*.csv")}
    manifest = json.loads((results / "manifest.json").read_text())
    config = manifest["config"]
    kinds = {item["name"]: item["kind"] for section in ("attacks", "tasks") for item in config[section]}
    guided = next((name for name, kind in kinds.items() if kind == "guided"), next(iter(kinds)))
    variant = frames["scores"].loc[frames["scores"]["attack"] == guided, "variant"].iloc[0]
    judge = next(item["name"] for item in config["judges"] if item["default"])
    arms = [style.label(arm["name"]) for arm in config["arms"]]
    steps = tables.read_all(sorted((results / "steps").rglob("*.parquet")), "steps")
    shown = Shown(
        {n: f for n, f in frames.items() if n != "examples"}, arms, judge, kinds, (guided, variant), tuple(config["headline"])
    )
    return build.Found(config["experiment"], shown, [], frames["requests"], steps, manifest, {}, False)


def large() -> build.Found:
    """Made-up numbers in the form of a large run's."""
    runs = [(f"model{m}", f"arm{a}") for m in range(MODELS) for a in range(ARMS)]
    cell = {"judge": "j", "mean": 0.4, "low": 0.3, "high": 0.5, "n": REQUESTS, "missing": 0}
    variants = [
        ("direct", "sampled"),
        ("prefilling", "prefill_full"),
        ("guided", "k20_prefill"),
        ("autorap", "k20_prefill_s512"),
    ]
    scores = [{"model": m, "arm": a, "attack": at, "variant": v, **cell} for m, a in runs for at, v in variants]
    line = " ".join("7" for _ in range(64))
    rows = [(m, a, f"p{r}", 0.5, 0.1, 0.4, 2.5, line) for m, a in runs for r in range(REQUESTS)]
    columns = ["model", "arm", "prompt_id", "refused", "prefilling", "rap", "bits", "ranks"]
    kinds = {name: name for name, _ in variants}
    shown = Shown({"scores": pd.DataFrame(scores)}, [f"arm{a}" for a in range(ARMS)], "j", kinds, ("guided", "k20_prefill"))
    empty = pd.DataFrame(columns=list(tables.TABLES["steps"].columns))
    return build.Found("large", shown, [], pd.DataFrame(rows, columns=columns), empty, {}, {}, False)


def measured(name: str, found: build.Found) -> dict[str, object]:
    began = time.perf_counter()
    page = build.html(found)
    seconds = time.perf_counter() - began
    return {
        "name": name,
        "seconds": round(seconds, 2),
        "megabytes": round(len(page.encode()) / 1e6, 2),
        "rows": len(found.requests),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    given = parser.parse_args()
    for name, found in (("page", of_run(given.results)), ("page_large", large())):
        print(json.dumps(measured(name, found) | {"machine": platform.processor() or platform.machine()}), flush=True)


if __name__ == "__main__":
    main()
