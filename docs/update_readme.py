"""Copies the numbers and figures of finished runs into docs/ and README: `make readme`. A test compares them.

What is committed of each run of RUNS is made anew where it lies in results/, and its sections of the pages from that.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grids
import pandas as pd

ROOT = Path(__file__).parent.parent
DEMO_FIGURES = ("scores", "headline", "ranks", "bits", "attention", "training", "pareto", "utility", "sweeps")


def answer(committed: dict) -> list[str]:
    """README's part: how deep each arm is, and for how much."""
    return _apart([grids.by_price(committed, model) for model in committed["summary"]["scores"]])


def demo(committed: dict) -> list[str]:
    """demo.md's part: the whole default experiment."""
    summary, parts = committed["summary"], [[f"> {line}" for line in committed["headline"]]]
    for model in summary["scores"]:
        parts += [grids.scores(summary, model), grids.differences(committed, model)]
        parts += [grids.verdicts(committed["verdicts"], model), grids.bits(committed["bits"], model)]
        parts += [
            grids.push_forward(committed["push_forward"], model),
            grids.ranks(summary, model),
            grids.checks(summary, model),
        ]
    return _apart(parts)


def facts(committed: dict) -> list[str]:
    """oracle.md's part: what any picker could reach, and what pickers did."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.reach(committed["reach"], model), grids.verdicts(committed["verdicts"], model)]
        parts += [grids.bits(committed["bits"], model, "place"), grids.causal(committed["causal"], model)]
        parts += [grids.checks(committed["summary"], model)]
    return _apart(parts)


def entropy(committed: dict) -> list[str]:
    """earlier.md's part: arms by the entropy of their refusals, and the causal test over all layers."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.by_entropy(committed, model), grids.likelihoods(committed["summary"], model)]
        parts += [grids.causal(committed["causal"], model), grids.checks(committed["summary"], model)]
    return _apart(parts)


def matched(committed: dict) -> list[str]:
    """earlier.md's part: what each arm's depth costs, the pairs that cost the same, and the claims about rivals and controls."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.by_price(committed, model), grids.composition(committed["composition"], model)]
        parts += [grids.matched(committed["matched"], model)]
        parts += [grids.verdicts(committed["verdicts"], model), grids.checks(committed["summary"], model)]
    return _apart(parts)


def matched_earlier(committed: dict) -> list[str]:
    """earlier.md's part: the same sweep on another machine, where the untouched model's own answers came out otherwise."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.by_price(committed, model), grids.matched(committed["matched"], model)]
    return _apart(parts)


def evidence(committed: dict) -> list[str]:
    """earlier.md's part: the decisive arms over their seeds."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.scores(committed["summary"], model), grids.differences(committed, model)]
        parts += [grids.by_seed(committed["seeds"], model)]
        parts += [grids.verdicts(committed["verdicts"], model), grids.bits(committed["bits"], model)]
        parts += [grids.checks(committed["summary"], model)]
    return _apart(parts)


def kl_seeds(committed: dict) -> list[str]:
    """earlier.md's part: KL beside PRESTO, seed by seed."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.by_seed(committed["seeds"], model), grids.verdicts(committed["verdicts"], model)]
        parts += [grids.bits(committed["bits"], model), grids.checks(committed["summary"], model)]
    return _apart(parts)


def strength(committed: dict) -> list[str]:
    """evidence.md's part: depth against damage by family of arms."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.curve(committed, model), grids.curve_gaps(committed["curve_gaps"], model)]
        parts += [grids.checks(committed["summary"], model)]
    return _apart(parts)


def sealed(committed: dict) -> list[str]:
    """evidence.md's part: the claims on sealed requests, and the arms of each alignment behind them."""
    parts = [
        grids.verdicts(committed["verdicts"], model) for model in dict.fromkeys(row["model"] for row in committed["verdicts"])
    ]
    parts += [[f"Alignment `{model}`:", "", *grids.by_price(committed, model)] for model in committed["summary"]["scores"]]
    return _apart(parts)


def _apart(parts: list[list[str]]) -> list[str]:
    """Lines of all parts, an empty one behind each."""
    return [line for part in parts for line in (*part, "")]


@dataclass(frozen=True)
class Run:
    """A run and where it is shown. pages: each with what makes its section; tables: what they need of tables/; figures: copied to
    docs/figures, with this prefix to their names."""

    experiment: str
    pages: Mapping[str, Callable[[dict], list[str]]]
    tables: tuple[str, ...]
    figures: tuple[str, ...]
    prefix: str = ""

    @property
    def folder(self) -> Path:
        return ROOT / "results" / self.experiment

    @property
    def name(self) -> str:
        return "demo" if self.experiment == "standin" else self.experiment

    @property
    def marks(self) -> tuple[str, str]:
        return f"<!-- {self.name}: start (make readme) -->", f"<!-- {self.name}: end -->"

    @property
    def summary(self) -> Path:
        return ROOT / f"docs/{self.name}-summary.json"

    def sections(self, committed: dict) -> dict[str, str]:
        """Of each page, what stands between the markers."""
        start, end = self.marks
        measured = _measured(committed["manifest"])
        return {page: "\n".join([start, "", *lines(committed), measured, "", end]) for page, lines in self.pages.items()}


DEMO_PAGES = {"README.md": answer, "docs/explanation/demo.md": demo}
RUNS = (
    Run("strength", {"docs/explanation/evidence.md": strength}, ("curve", "curve_gaps"), ("curve",)),
    Run("sealed", {"docs/explanation/evidence.md": sealed}, ("bits",), ()),
    Run("standin", DEMO_PAGES, ("bits", "push_forward", "comparisons"), DEMO_FIGURES),
    Run("facts", {"docs/explanation/oracle.md": facts}, ("bits", "reach", "causal"), ("reach", "causal"), "facts_"),
    Run(
        "evidence", {"docs/explanation/earlier.md": evidence}, ("bits", "comparisons", "seeds"), ("bits", "seeds"), "evidence_"
    ),
    Run("kl_seeds", {"docs/explanation/earlier.md": kl_seeds}, ("bits", "seeds"), ("seeds",), "kl_"),
    Run("matched", {"docs/explanation/earlier.md": matched}, ("bits", "composition", "matched"), ("price",)),
    Run(
        "matched_earlier", {"docs/explanation/earlier.md": matched_earlier}, (), ()
    ),  # kept as it was committed; nothing makes it anew
    Run("entropy", {"docs/explanation/earlier.md": entropy}, ("bits", "ranks", "targets", "causal"), ("entropy", "causal")),
)


def _measured(manifest: dict) -> str:
    versions = ", ".join(f"{name} {manifest['versions'][name]}" for name in ("torch", "transformers", "peft", "snakemake"))
    minutes = sum(job["seconds"] for job in manifest["jobs"].values()) / 60
    peak = max(job["peak_memory_mb"] for job in manifest["jobs"].values())
    return (
        f"Measured at {_commits(manifest)} with {versions}: {minutes:.0f} minutes of jobs that touch a model, "
        f"peak memory {peak / 1000:.1f} GB. Seeds: {manifest['config']['seeds']}."
    )


def _commits(manifest: dict) -> str:
    """Commits that the run's jobs were at: more than one where a run was completed after a change of its analysis."""
    states = [job["git"] for job in [*manifest["jobs"].values(), manifest]]
    dirty = {state["commit"] for state in states if state["dirty"]}
    found = dict.fromkeys(state["commit"] for state in states)
    return "commit " + " and ".join(f"`{commit[:12]}`{' (with changes)' if commit in dirty else ''}" for commit in found)


def _rows(folder: Path, table: str) -> list[dict]:
    return json.loads(pd.read_csv(folder / f"tables/{table}.csv").to_json(orient="records", double_precision=6))


def collected(run: Run) -> dict:
    """What of a finished run is committed."""
    folder = run.folder
    return {
        "summary": json.loads((folder / "summary.json").read_text()),
        "headline": (folder / "tables/headline.txt").read_text().splitlines(),
        "manifest": json.loads((folder / "manifest.json").read_text()),
        "verdicts": json.loads(verdicts.read_text())["claims"] if (verdicts := folder / "verdicts.json").exists() else [],
        **{table: _rows(folder, table) for table in run.tables},
    }


def commit_run(run: Run) -> None:
    """Its numbers and figures, copied from results/."""
    run.summary.write_text(json.dumps(collected(run), indent=1, sort_keys=True) + "\n")
    for name in run.figures:
        shutil.copy(run.folder / f"figures/{name}.png", ROOT / f"docs/figures/{run.prefix}{name}.png")


def main() -> None:
    (ROOT / "docs/figures").mkdir(exist_ok=True)
    for run in RUNS:
        if (run.folder / "manifest.json").exists():
            commit_run(run)
        start, end = run.marks
        for page, section in run.sections(json.loads(run.summary.read_text())).items():
            text = (ROOT / page).read_text()
            (ROOT / page).write_text(text[: text.index(start)] + section + text[text.index(end) + len(end) :])


if __name__ == "__main__":
    main()
