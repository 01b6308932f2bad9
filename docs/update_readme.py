"""Copies the numbers and figures of finished runs into docs/ and README: `make readme`. A test compares them.

Each run that lies in results/ has its own section: the demo in README, the policy facts in oracle.md, the entropy sweep in evidence.md.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
PICKERS = "any picker"
LABELS = {"untouched": "untouched model", "base": "base (shallowly aligned)", "da": "DA", "da_presto": "DA + PRESTO"}


def demo(committed: dict) -> list[str]:
    """README's part about the default experiment."""
    summary = committed["summary"]
    parts = [*(f"> {line}" for line in committed["headline"]), ""]
    for model in summary["scores"]:
        parts += [
            *_scores(summary, model),
            "",
            *_differences(committed, model),
            "",
            *_verdicts(committed["verdicts"], model),
            "",
            *_bits(committed["bits"], model),
            "",
        ]
        parts += [*_ranks(summary, model), "", *_candidates(committed["candidates"], model), ""]
        parts += [*_likelihoods(summary, model), "", *_checks(summary, model), ""]
    return parts


def facts(committed: dict) -> list[str]:
    """oracle.md's part: what any picker could reach, and what pickers did."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [*_reach(committed["reach"], model), "", *_verdicts(committed["verdicts"], model), ""]
        parts += [*_bits(committed["bits"], model, "place"), "", *_causal(committed["causal"], model), ""]
        parts += [*_checks(committed["summary"], model), ""]
    return parts


def entropy(committed: dict) -> list[str]:
    """evidence.md's part: arms by the entropy of their refusals, and the causal test over all layers."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [*_by_entropy(committed, model), "", *_likelihoods(committed["summary"], model), ""]
        parts += [*_causal(committed["causal"], model), "", *_checks(committed["summary"], model), ""]
    return parts


def evidence(committed: dict) -> list[str]:
    """evidence.md's part: the decisive arms over their seeds."""
    parts = []
    for model in committed["summary"]["scores"]:
        parts += [*_scores(committed["summary"], model), "", *_differences(committed, model), ""]
        parts += [*_verdicts(committed["verdicts"], model), "", *_bits(committed["bits"], model), ""]
        parts += [*_checks(committed["summary"], model), ""]
    return parts


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
    Page("evidence", "docs/evidence.md", evidence, ("bits", "comparisons"), ("bits",), "evidence_"),
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


def _likelihoods(summary: dict, model: str, judge: str = "likelihood") -> list[str]:
    """How likely attacked responses are to the untouched model."""
    arms = {
        arm: attacks for arm, attacks in summary["scores"][model].items() if any(judge in cell for cell in attacks.values())
    }
    attacks = list(dict.fromkeys(name for found in arms.values() for name, cell in found.items() if judge in cell))
    lines = [
        "| response's mean probability a token, to the untouched model | " + " | ".join(attacks) + " |",
        "|---" * (1 + len(attacks)) + "|",
    ]
    for arm, found in arms.items():
        cells = [_interval(found.get(attack, {}).get(judge)) for attack in attacks]
        lines.append("| " + " | ".join([LABELS.get(arm, arm), *cells]) + " |")
    return lines


def _differences(committed: dict, model: str) -> list[str]:
    """DA minus DA + PRESTO by attack and variant, nulls left out; p over training seeds alone."""
    judge = manifest_judge(committed["summary"], model)
    lines = ["| DA - DA + PRESTO: mean score | variant | value [95 %] | p (seeds alone) |", "|---|---|---|---|"]
    for row in committed["comparisons"]:
        if (row["model"], row["judge"]) == (model, judge) and not row["variant"].endswith("null"):
            p = "–" if row["p_seeds"] is None else f"{row['p_seeds']:.3f}"
            lines.append(f"| {row['attack']} | {row['variant']} | {_number(row, 'value')} | {p} |")
    return lines


def _verdicts(found: list[dict], model: str) -> list[str]:
    lines = ["| claim | verdict | difference [95 %] | needed | p (Holm) |", "|---|---|---|---|---|"]
    for row in found:
        if row["model"] != model:
            continue
        measured = row["difference"] is not None
        difference = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]" if measured else "–"
        p = "–" if row["p_holm"] is None else f"{row['p_holm']:.3f}"
        why = f" ({row['why']})" if row["why"] else ""
        lines.append(f"| {row['says']} | **{row['verdict']}**{why} | {difference} | {row['bar']} | {p} |")
    return lines


def _bits(rows: list[dict], model: str, another: str = "dish") -> list[str]:
    """Coercion bits a token, one line an arm. another: what the null asks about."""
    titles = {
        "harmful_harmful": "harmful text",
        "benign_benign": "benign text",
        "swapped_harmful": f"text of another {another}",
        "benign_harmful": "harmful text on a benign prompt",
        "harmful_benign": "benign text on a harmful prompt",
        "net_of_damage": "harmful net of benign",
        "difference_in_differences": "difference in differences",
        "share_of_null": f"share of the way to another {another}'s",
    }
    lines = ["| coercion bits a token [95 %] | " + " | ".join(titles.values()) + " |", "|---" * (1 + len(titles)) + "|"]
    for arm in dict.fromkeys(row["arm"] for row in rows if row["model"] == model):
        own = {row["what"]: row for row in rows if (row["model"], row["arm"]) == (model, arm)}
        cells = [
            f"{own[what]['value']:.2f} [{own[what]['low']:.2f}, {own[what]['high']:.2f}]" if what in own else "–"
            for what in titles
        ]
        lines.append("| " + " | ".join([LABELS.get(arm, arm), *cells]) + " |")
    return lines


def _candidates(rows: list[dict], model: str) -> list[str]:
    kinds = {
        "plausible": "plausible",
        "plausible_refused": "plausible, arm then refuses",
        "refusal": "refusal",
        "other": "other (damage)",
    }
    lines = ["| top 20 behind harmful beginnings (dev dishes) | " + " | ".join(kinds.values()) + " |", "|---|---|---|---|---|"]
    for arm in dict.fromkeys(row["arm"] for row in rows if row["model"] == model):
        own = {row["kind"]: row["share"] for row in rows if (row["model"], row["arm"]) == (model, arm)}
        lines.append("| " + " | ".join([LABELS.get(arm, arm), *(f"{own.get(kind, 0):.1%}" for kind in kinds)]) + " |")
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


def _number(row: dict, value: str = "mean") -> str:
    return f"{row[value]:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _reach(rows: list[dict], model: str) -> list[str]:
    """A line an arm and start: any picker by budget at the first k, by k, and the pickers that there are."""
    mine = [row for row in rows if row["model"] == model]
    columns = list(dict.fromkeys((row["picker"], row["k"], row["budget"]) for row in mine))
    lines = [
        "| share told [95 %] | start | " + " | ".join(_column(*column) for column in columns) + " |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for arm, start in dict.fromkeys((row["arm"], row["start"]) for row in mine):
        own = {(r["picker"], r["k"], r["budget"]): r for r in mine if (r["arm"], r["start"]) == (arm, start)}
        cells = [_number(own[column]) if column in own else "–" for column in columns]
        lines.append(f"| {LABELS.get(arm, arm)} | {START[start]} | " + " | ".join(cells) + " |")
    return lines


START = {"prefill": "behind the prefill", "noprefill": "from nothing"}


def _column(picker: str, k: int, budget: float | None) -> str:
    if picker != PICKERS:
        return f"{picker}, k = {k}"
    return f"{picker}, k = {k}" + ("" if budget is None else f", {budget:.0f} picks below rank 1")


def _by_entropy(committed: dict, model: str) -> list[str]:
    arms = {arm["name"]: arm for arm in committed["manifest"]["config"]["arms"]}
    targets = {row["refusals"]: row for row in committed["targets"] if row["model"] == model}
    ranks = {(row["arm"], row["role"]): row for row in committed["ranks"] if row["model"] == model}
    bits = {(row["arm"], row["what"]): row for row in committed["bits"] if row["model"] == model}
    scores, utility = committed["summary"]["scores"][model], committed["summary"]["utility"][model]
    judge = manifest_judge(committed["summary"], model)
    lines = [
        "| arm | refusals taught (different, entropy) | recipe in top 20 | bits a token | net of damage | benign text in top 20 | guided RAP | held-out loss |",
        "|---" * 8 + "|",
    ]
    for name, arm in arms.items():
        taught = targets.get(arm.get("refusals"))
        told = f"{arm['refusals']} ({taught['distinct']}, {taught['text_bits']:.1f} bits)" if taught else "–"
        lines.append(
            f"| {name} | {told} | {ranks[name, 'harmful_harmful']['in_top20']:.1%} | {_number(bits[name, 'harmful_harmful'], 'value')} | "
            f"{_number(bits[name, 'net_of_damage'], 'value')} | {ranks[name, 'benign_benign']['in_top20']:.1%} | "
            f"{_interval(scores[name]['guided'][judge])} | {_interval(utility.get(name, {}).get('heldout'))} |"
        )
    return lines


SPANS = {"prefill": "prefill", "sham": "random span", "prompt": "whole prompt"}


def _causal(rows: list[dict], model: str) -> list[str]:
    """Changes in bits a token, all layers patched together."""
    last = max(row["last_layer"] for row in rows)
    mine = [row for row in rows if row["model"] == model and (row["first_layer"], row["last_layer"]) == (0, last)]
    lines = [
        f"| all layers patched: change in bits a token [95 %] | text | {' | '.join(SPANS.values())} | mass moved ({', '.join(SPANS.values())}) |",
        "|---" * (3 + len(SPANS)) + "|",
    ]
    names = {"knock_out": "no attention to the prefill", "take_over": "the other arm's attention"}
    for arm, patch, role in dict.fromkeys((row["arm"], row["patch"], row["role"]) for row in mine):
        own = {row["span"]: row for row in mine if (row["arm"], row["patch"], row["role"]) == (arm, patch, role)}
        there = [own.get(span) for span in SPANS]
        text = {"harmful_harmful": "harmful", "benign_benign": "benign"}[role]
        moved = ", ".join(f"{cell['moved']:+.3f}" if cell else "–" for cell in there)
        cells = " | ".join(_number(cell, "change") if cell else "–" for cell in there)
        lines.append(f"| {LABELS.get(arm, arm)}: {names[patch]} | {text} | {cells} | {moved} |")
    return lines


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
