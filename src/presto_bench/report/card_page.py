"""A depth card for people: one picture and one self-contained page."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from presto_bench.analysis import stats
from presto_bench.report.figures import style

TEMPLATE = "card.html.j2"
KINDS = {"refusal": "refusal", "plausible": "plausible", "plausible_refused": "plausible, then refused", "other": "neither"}


def html(card: Mapping[str, Any], picture: bytes) -> str:
    """The page, with the picture inside it: no file beside it, no network."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "data"), autoescape=select_autoescape(default=True), trim_blocks=True
    )
    environment.filters["interval"] = interval
    encoded = base64.b64encode(picture).decode()
    return environment.get_template(TEMPLATE).render(card=card, picture=encoded, kinds=KINDS)


def interval(cell: Mapping[str, Any], name: str = "value") -> str:
    """A number with its interval; a dash where it was not measured."""
    names = ("low", "high") if name in ("value", "share") else (f"{name}_low", f"{name}_high")
    return stats.told(cell.get(name), *(cell.get(bound) for bound in names))


def draw(card: Mapping[str, Any], path: Path) -> None:
    """Four panels: refusals by length of the prefill, bits over depth, scores, what stands in the top 20."""
    with style.house():
        figure, axes = plt.subplots(2, 2, figsize=(9.5, 6.4))
        for axis, panel in zip(axes.flat, (_lengths, _bits, _scores, _top20), strict=True):
            panel(axis, card)
        figure.suptitle(f"Depth card: {card['about']['name']}", x=0.02, ha="left")
        style.save(figure, path)


def _empty(axis: Axes, title: str) -> None:
    axis.set_title(f"{title}: not measured", loc="left", fontsize=9)
    axis.set_axis_off()


def _lengths(axis: Axes, card: Mapping[str, Any]) -> None:
    rows = [row for row in card["by_length"] if row["refused"] is not None]
    if not rows:
        return _empty(axis, "refusals by length")
    x, y = [row["tokens"] for row in rows], [row["refused"] for row in rows]
    errors = [[row["refused"] - row["refused_low"] for row in rows], [row["refused_high"] - row["refused"] for row in rows]]
    axis.errorbar(x, y, yerr=errors, marker="o", capsize=2, linewidth=1, color=style.COLOURS[0])
    axis.set(xscale="log", ylim=(-0.03, 1.03), xlabel="tokens of the text that stand as a prefill", ylabel="share refused")
    axis.set_xticks(x, [str(tokens) for tokens in x])
    axis.minorticks_off()
    axis.set_title("Does it refuse behind a prefill?", loc="left", fontsize=9)


def _bits(axis: Axes, card: Mapping[str, Any]) -> None:
    rows = card["bits_by_depth"]
    if not rows:
        return _empty(axis, "bits over depth")
    for number, (what, label) in enumerate((("harmful", "harmful text"), ("benign", "benign answers"))):
        points = [(row["tokens"], row[what]) for row in rows if row[what] is not None]
        axis.plot(*zip(*points, strict=True), label=label, color=style.COLOURS[number], linewidth=1.4)
    axis.set(xlabel="tokens behind a prefill of ten", ylabel="bits, in all")
    axis.set_title("What does a text cost an attacker of ranks?", loc="left", fontsize=9)
    axis.legend(fontsize=7)


def _scores(axis: Axes, card: Mapping[str, Any]) -> None:
    rows = [row for row in card["measures"] if "score" in row["what"] and row["value"] is not None]
    rows += [
        {
            "what": f"prefill: {row['kind'].replace('_', ' ')}",
            "value": row["score"],
            "low": row["score_low"],
            "high": row["score_high"],
        }
        for row in card["kinds"]
        if row["score"] is not None
    ]
    if not rows:
        return _empty(axis, "scores")
    places = range(len(rows))
    errors = [[row["value"] - row["low"] for row in rows], [row["high"] - row["value"] for row in rows]]
    axis.errorbar(
        [row["value"] for row in rows], places, xerr=errors, linestyle="none", marker="o", capsize=2, color=style.COLOURS[1]
    )
    axis.set_yticks(places, [row["what"].removeprefix("score under ") for row in rows], fontsize=6)
    axis.invert_yaxis()
    axis.set(xlim=(-0.03, 1.03), xlabel="mean score (less is safer)")
    axis.set_title("What do attacks reach?", loc="left", fontsize=9)


def _top20(axis: Axes, card: Mapping[str, Any]) -> None:
    rows = [row for row in card["top20"] if row["share"] is not None]
    if not rows:
        return _empty(axis, "the top 20")
    places = range(len(rows))
    errors = [[row["share"] - row["low"] for row in rows], [row["high"] - row["share"] for row in rows]]
    axis.barh(places, [row["share"] for row in rows], xerr=errors, color=style.COLOURS[2], alpha=0.7, capsize=2)
    axis.set_yticks(places, [KINDS[row["kind"]] for row in rows], fontsize=7)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="share of tokens behind a harmful beginning")
    axis.set_title("What stands in the top 20?", loc="left", fontsize=9)
