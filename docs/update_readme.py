"""Copies the numbers and figures of finished runs into docs/ and README: `make readme`. A test compares them.

Each run that lies in results/ has its own section of the page that PAGES names.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grids
import pandas as pd

ROOT = Path(__file__).parent.parent
DEMO_FIGURES = (
    "pareto",
    "scores",
    "ranks",
    "attention",
    "headline",
    "training",
    "sweeps",
    "bits",
    "top20",
    "lengths",
    "utility",
)


def demo(committed: dict) -> list[str]:
    """README's part about the default experiment."""
    summary, parts = committed["summary"], [[f"> {line}" for line in committed["headline"]]]
    for model in summary["scores"]:
        parts += [grids.scores(summary, model), grids.differences(committed, model)]
        parts += [grids.verdicts(committed["verdicts"], model), grids.bits(committed["bits"], model)]
        parts += [grids.ranks(summary, model), grids.candidates(committed["candidates"], model)]
        parts += [grids.likelihoods(summary, model), grids.checks(summary, model)]
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
    """evidence.md's part: arms by the entropy of their refusals, and the causal test over all layers."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.by_entropy(committed, model), grids.likelihoods(committed["summary"], model)]
        parts += [grids.causal(committed["causal"], model), grids.checks(committed["summary"], model)]
    return _apart(parts)


def matched(committed: dict) -> list[str]:
    """evidence.md's part: what each arm's depth costs, and the pairs that cost the same."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.by_price(committed, model), grids.matched(committed["matched"], model)]
        parts += [grids.checks(committed["summary"], model)]
    return _apart(parts)


def evidence(committed: dict) -> list[str]:
    """evidence.md's part: the decisive arms over their seeds."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [grids.scores(committed["summary"], model), grids.differences(committed, model)]
        parts += [grids.by_seed(committed["seeds"], model)]
        parts += [grids.verdicts(committed["verdicts"], model), grids.bits(committed["bits"], model)]
        parts += [grids.checks(committed["summary"], model)]
    return _apart(parts)


def _apart(parts: list[list[str]]) -> list[str]:
    """Lines of all parts, an empty one behind each."""
    return [line for part in parts for line in (*part, "")]


@dataclass(frozen=True)
class Page:
    """A run's section of a page. tables: what it needs of tables/; figures: copied to docs/figures, with this prefix to their names."""

    experiment: str
    page: str
    lines: Callable[[dict], list[str]]
    tables: tuple[str, ...]
    figures: tuple[str, ...]
    prefix: str = ""

    @property
    def run(self) -> Path:
        return ROOT / "results" / self.experiment

    @property
    def marks(self) -> tuple[str, str]:
        name = "demo" if self.experiment == "standin" else self.experiment
        return f"<!-- {name}: start (make readme) -->", f"<!-- {name}: end -->"

    @property
    def summary(self) -> Path:
        return ROOT / f"docs/{'demo' if self.experiment == 'standin' else self.experiment}-summary.json"


PAGES = (
    Page("standin", "README.md", demo, ("bits", "candidates", "comparisons"), DEMO_FIGURES),
    Page("facts", "docs/oracle.md", facts, ("bits", "reach", "causal"), ("reach", "causal"), "facts_"),
    Page("evidence", "docs/evidence.md", evidence, ("bits", "comparisons", "seeds"), ("bits", "seeds"), "evidence_"),
    Page("matched", "docs/evidence.md", matched, ("bits", "matched"), ("price",), ""),
    Page("entropy", "docs/evidence.md", entropy, ("bits", "ranks", "targets", "causal"), ("entropy", "causal"), ""),
)


def section(page: Page, committed: dict) -> str:
    """What stands between the markers."""
    start, end = page.marks
    return "\n".join([start, "", *page.lines(committed), _measured(committed["manifest"]), "", end])


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


def _rows(run: Path, table: str) -> list[dict]:
    return json.loads(pd.read_csv(run / f"tables/{table}.csv").to_json(orient="records", double_precision=6))


def collected(page: Page) -> dict:
    """What of a finished run is committed."""
    run = page.run
    return {
        "summary": json.loads((run / "summary.json").read_text()),
        "headline": (run / "tables/headline.txt").read_text().splitlines(),
        "manifest": json.loads((run / "manifest.json").read_text()),
        "verdicts": json.loads((run / "verdicts.json").read_text())["claims"],
        **{table: _rows(run, table) for table in page.tables},
    }


def main() -> None:
    (ROOT / "docs/figures").mkdir(exist_ok=True)
    for page in PAGES:
        if not (page.run / "manifest.json").exists():
            continue
        committed = collected(page)
        page.summary.write_text(json.dumps(committed, indent=1, sort_keys=True) + "\n")
        for name in page.figures:
            shutil.copy(page.run / f"figures/{name}.png", ROOT / f"docs/figures/{page.prefix}{name}.png")
        file, (start, end) = ROOT / page.page, page.marks
        text = file.read_text()
        file.write_text(text[: text.index(start)] + section(page, committed) + text[text.index(end) + len(end) :])


if __name__ == "__main__":
    main()
