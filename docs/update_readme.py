"""Copies a finished demo run's numbers and figures into docs/ and README: `make readme`. A test compares them."""

import json
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUN = ROOT / "results/standin"
START, END = "<!-- demo: start (make readme) -->", "<!-- demo: end -->"
FIGURES = ("pareto", "scores", "ranks", "attention", "headline", "training", "sweeps")
LABELS = {"untouched": "untouched model", "base": "base (shallowly aligned)", "da": "DA", "da_presto": "DA + PRESTO"}


def section(committed: dict) -> str:
    """README's part between the markers."""
    summary, manifest = committed["summary"], committed["manifest"]
    parts = [START, "", *(f"> {line}" for line in committed["headline"]), ""]
    for model in summary["scores"]:
        parts += [*_scores(summary, model), "", *_ranks(summary, model), "", *_checks(summary, model), ""]
    versions = ", ".join(f"{name} {manifest['versions'][name]}" for name in ("torch", "transformers", "peft", "snakemake"))
    minutes = sum(job["seconds"] for job in manifest["jobs"].values()) / 60
    peak = max(job["peak_memory_mb"] for job in manifest["jobs"].values())
    parts += [
        f"Measured at {_commits(manifest)} with {versions}: {minutes:.0f} minutes of jobs that touch a model, "
        f"peak memory {peak / 1000:.1f} GB. Seeds: {manifest['config']['seeds']}.",
        "",
        END,
    ]
    return "\n".join(parts)


def _commits(manifest: dict) -> str:
    """Commits that the run's jobs were at: more than one where a run was completed after a change of its analysis."""
    found = dict.fromkeys(job["git"]["commit"][:12] for job in [*manifest["jobs"].values(), manifest])
    return "commit " + " and ".join(f"`{commit}`" for commit in found)


def _scores(summary: dict, model: str) -> list[str]:
    attacks = list(summary["differences"].get(model, {})) or list(next(iter(summary["scores"][model].values())))
    judge = manifest_judge(summary, model)
    utility = summary["utility"].get(model, {})
    tasks = sorted({task for arm in utility.values() for task in arm})
    lines = [
        "| " + " | ".join([f"{model}: mean score [95 %]", *attacks, *tasks]) + " |",
        "|---" * (1 + len(attacks) + len(tasks)) + "|",
    ]
    for arm, scores in summary["scores"][model].items():
        cells = [_interval(scores.get(attack, {}).get(judge)) for attack in attacks]
        cells += [_interval(utility.get(arm, {}).get(task)) for task in tasks]
        lines.append("| " + " | ".join([LABELS.get(arm, arm), *cells]) + " |")
    return lines


def _ranks(summary: dict, model: str) -> list[str]:
    lines = [
        "| after a 10-token prefill | recipe in top 20 | recipe, median rank | recipe reach@20 | PFA distance (KL) | benign text in top 20 |",
        "|---|---|---|---|---|---|",
    ]
    for arm, cells in summary["ranks"].get(model, {}).items():
        own, benign = cells["harmful_harmful"], cells["benign_benign"]
        lines.append(
            f"| {LABELS.get(arm, arm)} | {own['in_top20']:.1%} | {own['median_rank']:.0f} | {own['reach20']:.1%} | "
            f"{own['pfa_kl']:.2f} | {benign['in_top20']:.1%} |"
        )
    return lines


def _checks(summary: dict, model: str) -> list[str]:
    lines = ["| check | measured | bar | holds |", "|---|---|---|---|"]
    for name, check in summary["checks"][model].items():
        value = "not measured" if check["value"] is None else f"{check['value']:.3f}"
        holds = {True: "yes", False: "**no**", None: "reported"}[check["ok"]]
        lines.append(f"| {name.replace('_', ' ')} | {value} | {check['bar']} | {holds} |")
    return lines


def manifest_judge(summary: dict, model: str) -> str:
    return next(iter(summary["differences"][model].values()))["judge"]


def _interval(cell: dict | None) -> str:
    return "–" if cell is None or cell["mean"] is None else f"{cell['mean']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]"


def main() -> None:
    manifest = json.loads((RUN / "manifest.json").read_text())
    committed = {
        "summary": json.loads((RUN / "summary.json").read_text()),
        "headline": (RUN / "tables/headline.txt").read_text().splitlines(),
        "manifest": manifest,
    }
    (ROOT / "docs/demo-summary.json").write_text(json.dumps(committed, indent=1, sort_keys=True) + "\n")
    (ROOT / "docs/figures").mkdir(exist_ok=True)
    for name in FIGURES:
        shutil.copy(RUN / f"figures/{name}.png", ROOT / f"docs/figures/{name}.png")
    readme = ROOT / "README.md"
    text = readme.read_text()
    readme.write_text(text[: text.index(START)] + section(committed) + text[text.index(END) + len(END) :])


if __name__ == "__main__":
    main()
