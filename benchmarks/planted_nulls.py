"""How often a claim is called supported where there is nothing: labels of two real arms, swapped request by request, over a finished run.

python benchmarks/planted_nulls.py results/standin [--runs 200] > benchmarks/results/planted_nulls.jsonl

Swapping makes both arms the same in distribution, with the run's own skew, ties and zeros. A claim that the one is higher by more than 0 is
then right never; Holm is over the claims of one run, so that a run is a false positive if any of its claims is supported. Bar: 5 %.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from presto_bench import tables
from presto_bench.analysis import claims, coercion, scores

RESAMPLES = 1000
ENDPOINTS = {
    "bits": {"kind": "bits", "what": "harmful"},
    "net": {"kind": "bits", "what": "net_of_damage"},
    "guided": {"kind": "score", "attack": "guided"},
    "loss": {"kind": "utility", "task": "heldout"},
}


def read(results: Path, name: str, folder: str) -> pd.DataFrame:
    return pd.concat([tables.read(path, name) for path in sorted((results / folder).rglob("*.parquet"))], ignore_index=True)


def planted(frame: pd.DataFrame, arms: tuple[str, str], swap: dict[str, bool]) -> pd.DataFrame:
    """Rows of the two arms, a request's labels swapped where the draw says so."""
    mine = frame[frame["arm"].isin(arms)]
    other = {arms[0]: arms[1], arms[1]: arms[0]}
    swapped = mine["prompt_id"].map(swap).fillna(False).astype(bool)
    return mine.assign(arm=mine["arm"].where(~swapped, mine["arm"].map(other)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--arms", nargs=2, default=["da", "da_presto"])
    asked = parser.parse_args()
    arms = tuple(asked.arms)
    graded = scores.graded_completions(read(asked.results, "completions", "attacks"), read(asked.results, "grades", "grades"))
    ranks, utility = read(asked.results, "ranks", "ranks"), read(asked.results, "utility", "utility")
    checks = pd.DataFrame({"model": [], "name": [], "ok": []})
    models = sorted(graded["model"].unique())[:1]
    wanted = [
        claims.Claim(
            name=name,
            says=name,
            source="planted",
            endpoint=e,
            reference=arms[0],
            treated=arms[1],
            direction="higher",
            minimum=0,
            checks=[],
        )
        for name, e in ENDPOINTS.items()
    ]
    prompts = sorted(set(ranks["prompt_id"]) | set(graded["prompt_id"]) | set(utility["prompt_id"]))
    assert coercion.HARMFUL in set(ranks["role"])
    hits, single = 0, dict.fromkeys(ENDPOINTS, 0)
    for run in range(asked.runs):
        rng = np.random.default_rng(run)
        swap = dict(zip(prompts, rng.random(len(prompts)) < 0.5, strict=True))
        evidence = claims.Evidence(*(planted(frame, arms, swap) for frame in (graded, ranks, utility)), checks)
        found = claims.verdicts(wanted, evidence, models, RESAMPLES).set_index("name")["verdict"]
        hits += int((found == "supported").any())
        for name in ENDPOINTS:
            single[name] += int(found.get(name) == "supported")
    interval = binomtest(hits, asked.runs).proportion_ci()
    print(
        json.dumps(
            {
                "name": "false_positive_rate",
                "value": hits / asked.runs,
                "unit": "share of runs",
                "on": {
                    "experiment": asked.results.name,
                    "runs": asked.runs,
                    "low": round(interval.low, 4),
                    "high": round(interval.high, 4),
                    "by_claim": single,
                    "requests": len(prompts),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
