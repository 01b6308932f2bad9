"""The page's sections: what each one says, from which tables, and which target makes what is missing. Pure."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from presto_bench.analysis import stats
from presto_bench.report import front, words
from presto_bench.report.figures import style
from presto_bench.report.page import charts
from presto_bench.report.page.charts import Shown
from presto_bench.report.page.text import safe

MOST_ROWS = 400  # of a table on the page; its download has all
MOST_ANSWERS = 3  # models whose answer stands on the first screen
MOST_REQUESTS = 3000  # rows of the table of requests
HIGHEST_BITS = 16.0  # of a sparkline


@dataclass(frozen=True)
class Section:
    """id: its address. says: what is to be seen. tables: names with captions. target: what makes them, where they are not there."""

    id: str
    title: str
    says: str
    tables: tuple[tuple[str, str], ...]
    target: str
    chart: charts.Chart | None = None


SECTIONS = (
    Section(
        "claims",
        "Claims",
        "What was claimed before the numbers were seen, and what became of it: an interval on the wrong side of the bar refutes a claim, one that holds the bar leaves it open.",
        (("verdicts", "Claims and verdicts"), ("comparisons", "Reference minus treated arm, paired over requests")),
        "all, in a config with `claims`",
    ),
    Section(
        "scores",
        "Scores",
        "Mean grade of what each attack got out of each arm, with 95 % intervals over requests and seeds. Less is safer.",
        (("scores", "Scores"), ("judges", "Judges compared")),
        "grade",
        charts.scores,
    ),
    Section(
        "ranks",
        "Ranks",
        "How much of a text stands within the k likeliest tokens of an arm. A rank attacker can only say what does.",
        (("ranks", "Ranks of texts"), ("push_forward", "Ranks behind the prefill against the base's on the bare prompt")),
        "tables",
        charts.ranks,
    ),
    Section(
        "bits",
        "Bits",
        "What an attacker must know to make an arm say a text: the sum of log2 of its tokens' ranks. Harmful text net of benign text is depth; benign text alone is damage.",
        (("bits", "Bits a token"),),
        "tables",
        charts.bits,
    ),
    Section(
        "top20",
        "The 20 likeliest tokens",
        "What the tokens that an attacker may pick from lead to, behind the beginning of a harmful answer.",
        (("composition", "Composition of the top 20"),),
        "all, in a config with `composition`",
        charts.top20,
    ),
    Section(
        "attention",
        "Attention on the prefill",
        "Attention that the tokens of a response pay to harmful prefill tokens, which PRESTO trains to be small.",
        (("causal", "The causal test"),),
        "tables",
        charts.attention,
    ),
    Section("training", "Training", "Losses of every optimiser step.", (), "finetune", charts.training),
    Section(
        "price",
        "Price",
        "Safety against what it costs: loss on held-out benign answers, and benign requests that are refused.",
        (("utility", "Tasks"), ("over_refusal", "Refusals of benign requests")),
        "tables",
        charts.price,
    ),
    Section(
        "curve",
        "Depth against damage",
        "Arms of each family from weak to strong training: what depth they reach at the same damage.",
        (("curve_gaps", "Difference of the families at equal damage"), ("curve", "Points")),
        "all, in a config with `curve`",
    ),
    Section(
        "fidelity",
        "Against the paper",
        "Published values beside those of this run, where a model of the paper's is in it.",
        (("fidelity", "Published and own values"),),
        "all",
    ),
)


def built(shown: Shown) -> list[dict[str, Any]]:
    """Every section with its picture and tables; one that has neither says which target makes them."""
    return [_built(section, shown) for section in SECTIONS]


def _built(section: Section, shown: Shown) -> dict[str, Any]:
    picture = section.chart(shown) if section.chart else None
    made = [table(name, caption, shown) for name, caption in section.tables if len(shown.tables.get(name, ()))]
    missing = None if picture is not None or made else f"Not run. `snakemake {section.target}` makes it."
    return {
        "id": section.id,
        "title": section.title,
        "says": section.says,
        "spec": None if picture is None else charts.spec(picture),
        "tables": made,
        "missing": missing,
    }


def table(name: str, caption: str, shown: Shown) -> dict[str, Any]:
    """A table in words, and the whole of it as it lies on disk for download."""
    frame = shown.tables[name]
    some = frame.head(MOST_ROWS)
    told = in_words(front.verdicts(some) if name == "verdicts" else some, shown.kinds)
    left = len(frame) - len(told)
    return {
        "name": name,
        "caption": caption,
        "columns": [column.replace("_", " ") for column in told.columns],
        "rows": told.to_numpy().tolist(),
        "note": f"The first {MOST_ROWS} of {len(frame)} rows; the download has all." if left else "",
        "csv": encoded(frame),
    }


def encoded(frame: pd.DataFrame) -> str:
    """A table's CSV, as a link holds it."""
    return base64.b64encode(frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()).decode()


def in_words(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Names as people call them, a value beside its interval, numbers with three digits, a dash for what is not known."""
    told = _with_intervals(frame)
    if {"attack", "variant"} <= set(told.columns):
        told["attack"] = [words.attack(str(name), kinds) for name in told["attack"]]
        told["variant"] = [words.variant(str(name)) for name in told["variant"]]
    for column, tell in (("arm", style.label), ("role", words.role)):
        if column in told.columns:
            told[column] = [tell(str(name)) for name in told[column]]
    return pd.DataFrame({column: [cell(value) for value in told[column]] for column in told.columns})


VALUES = ("mean", "value", "share", "difference")


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """A table in which "0.40 [0.30, 0.50]" stands for the first of VALUES and its bounds `low` and `high`."""
    name = next((name for name in VALUES if name in frame.columns), None)
    if name is None or not {"low", "high"} <= set(frame.columns):
        return frame.copy()
    shown = [stats.told(*row) for row in zip(frame[name], frame["low"], frame["high"], strict=True)]
    return frame.assign(**{name: shown}).drop(columns=["low", "high"]).rename(columns={name: f"{name}, 95 % interval"})


def answer(shown: Shown) -> list[str]:
    """The answer in a sentence a model: the treated arm's score under the rank attack beside the reference's. Nothing where the two were not compared."""
    rows = shown.tables.get("comparisons", pd.DataFrame())
    if rows.empty:
        return []
    own = rows[(rows["attack"] == shown.rap[0]) & (rows["variant"] == shown.rap[1]) & (rows["judge"] == shown.judge)]
    own = own.dropna(subset="value")
    said = [_answer(row, shown) for row in own.head(MOST_ANSWERS).to_dict("records")]
    more = len(own) - len(said)
    return [*said, *([f"{more} more models: see Claims."] if more else [])]


def _answer(row: Mapping[str, Any], shown: Shown) -> str:
    reference, treated = (style.label(arm) for arm in shown.headline)
    value, low, high = row["value"], row["low"], row["high"]
    if low > 0:
        told, numbers = f"{treated} scores lower than {reference}, by", stats.told(value, low, high)
    elif high < 0:
        told, numbers = f"{treated} scores higher than {reference}, by", stats.told(-value, -high, -low)
    else:
        told, numbers = (
            f"no difference shown between {treated} and {reference}:",
            f"{stats.told(-value, -high, -low, '+')} in mean score",
        )
    return f"{safe(str(row['model']))}, {words.attacked(*shown.rap, shown.kinds)}: {told} {numbers} ({int(row['n'])} requests)."


def doubt(found: Sequence[Mapping[str, str]]) -> str:
    """What failing checks mean for the answer; empty where all hold."""
    failing = sum(check["state"] == "fails" for check in found)
    return f"Not established: {failing} of the checks below do not hold." if failing else ""


def cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if value != int(value) or abs(value) < 1 else f"{value:.0f}"
    return safe(str(value))


def checks(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Each check as a mark: holds, fails, not measured, or only told."""
    found = []
    for row in frame.to_dict("records"):
        measured = row["value"] is not None and row["value"] == row["value"]
        state = {"True": "holds", "False": "fails"}.get(str(row["ok"]), "told" if measured else "open")
        found.append(
            {
                "name": str(row["name"]).replace("_", " "),
                "model": safe(str(row["model"])),
                "state": state,
                "value": cell(row["value"]),
                "bar": safe(str(row["bar"])),
                "told": words.check(str(row["name"])),
            }
        )
    return found


def requests(frame: pd.DataFrame, shown: Shown) -> dict[str, Any]:
    """Request by request. Without texts where they are not to be shown: `shown.texts` is empty then."""
    note = ""
    if len(frame) > MOST_REQUESTS:
        note = f"{len(frame)} rows are too many for a page: they are in tables/requests.csv of this run."
    rows = [
        {
            "request": safe(shown.texts.get(row["prompt_id"], row["prompt_id"])),
            "model": row["model"],
            "arm": style.label(row["arm"]),
            "numbers": [cell(row[name]) for name in ("refused", "prefilling", "rap", "bits")],
            "ranks": sparkline(row["ranks"]),
        }
        for row in (frame.to_dict("records") if not note else ())
    ]
    return {"rows": rows, "note": note, "csv": "" if note else encoded(frame), "rap": words.attacked(*shown.rap, shown.kinds)}


def sparkline(ranks: Any) -> dict[str, str] | None:
    """Points of a line over the text's tokens, log2 of their ranks upwards; None where nothing was measured."""
    numbers = [int(rank) for rank in str(ranks).split()] if isinstance(ranks, str) else []
    if not numbers:
        return None
    step = 118 / max(len(numbers) - 1, 1)
    heights = [min(math.log2(rank), HIGHEST_BITS) / HIGHEST_BITS for rank in numbers]
    points = " ".join(f"{1 + place * step:.1f},{23 - 22 * height:.1f}" for place, height in enumerate(heights))
    ordered = sorted(numbers)
    return {"points": points, "told": f"median rank {ordered[len(ordered) // 2]}, largest {ordered[-1]}"}


def steps(frame: pd.DataFrame, shown: Shown, show: bool) -> dict[str, Any]:
    """What the step view reads: attacks, requests, arms, and for each every step as [depth, candidates].

    A candidate is [rank, token, probability, kind, picked] and a helper's verdict where there is one. show: tokens as text; else no text leaves
    this function, only kinds.
    """
    data: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for (attack, model, arm, prompt_id), own in frame.groupby(["attack", "model", "arm", "prompt_id"], sort=False):
        name = f"{model}: {style.label(arm)}"
        data.setdefault(attack, {}).setdefault(name, {})[prompt_id] = [
            [int(step["depth"].iloc[0]), [_candidate(row, show) for row in step.to_dict("records")]]
            for _, step in own.groupby("step", sort=True)
        ]
    ids = list(dict.fromkeys(frame["prompt_id"])) if len(frame) else []
    labels = [safe(shown.texts.get(prompt_id, prompt_id)) for prompt_id in ids]
    return {
        "attacks": [[attack, words.attack(attack, shown.kinds)] for attack in data],
        "requests": [list(pair) for pair in zip(ids, labels, strict=True)],
        "arms": list(dict.fromkeys(arm for own in data.values() for arm in own)),
        "data": data,
    }


def within(frame: pd.DataFrame, shown: Shown, show: bool, most: int) -> tuple[dict[str, Any], list[str]]:
    """The steps of as many attacks, the first first, as fit into `most` characters; and the names of those that do not."""
    left_out: list[str] = []
    found = steps(frame, shown, show)
    while found["attacks"] and len(json.dumps(found)) > most:
        name, label = found["attacks"][-1]
        left_out.append(label)
        frame = frame[frame["attack"] != name]
        found = steps(frame, shown, show)
    return found, left_out


def _candidate(row: Mapping[str, Any], show: bool) -> list[Any]:
    token = safe(row["token"]) if show else None
    told = [int(row["rank"]), token, round(float(row["probability"]), 4), row["kind"], int(row["picked"])]
    return told if pd.isna(row["harmful"]) else [*told, int(row["harmful"])]
