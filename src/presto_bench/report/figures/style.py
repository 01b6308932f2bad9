"""One look for all figures: colours stay with arms, text is readable in print, files are reproducible."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# Okabe and Ito's palette: told apart with any colour vision. The first four arms of a config get its strongest hues.
COLOURS = ("#4d4d4d", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
SETTINGS = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 160,
    "pdf.fonttype": 42,
    "svg.hashsalt": "presto-bench",
}
LABELS = {
    "base": "base",
    "da": "DA",
    "da_presto": "DA + PRESTO",
    "presto_only": "PRESTO only",
    "da_kl": "DA + KL",
    "untouched": "untouched",
}


BETWEEN = 0.8  # of the way to the next place, that all arms together may take


@contextmanager
def house() -> Iterator[None]:
    with plt.rc_context(SETTINGS):
        yield


def label(arm: str) -> str:
    return LABELS.get(arm, arm)


def look(arms: Sequence[str], arm: str) -> dict[str, str]:
    """colour and marker of an arm, by its place among the experiment's arms; the untouched model is none of them."""
    if arm not in arms:
        return {"color": "black", "marker": "x"}
    turn, i = divmod(list(arms).index(arm), len(COLOURS))
    # Where colours come round again, markers are shifted, so that no two of 64 arms look the same.
    return {"color": COLOURS[i], "marker": MARKERS[(i + turn) % len(MARKERS)]}


def shift(arms: Sequence[str], arm: str, width: float = 0.14) -> float:
    """How far an arm's point stands from the middle of its place, so that arms stand side by side and none in the next place."""
    arms = list(arms)
    width = min(width, BETWEEN / len(arms)) if arms else width
    return (arms.index(arm) - (len(arms) - 1) / 2) * width if arm in arms else 0.0


def every_arm(data) -> list[str]:
    """Arms of all models, in the config's order: one colour each, wherever models differ in the arms they have."""
    return list(dict.fromkeys(arm for own in data.arms.values() for arm in own))


PER_INCH = 17  # letters of a legend's size, about
LINE = 0.16  # inches that a line of it is high
SIGN = 6  # letters' room for a line's sign and the space behind a name


def legend(figure: Figure, lines: Mapping[str, str] | None = None) -> None:
    """One legend for all panels, below them, for which the figure grows: names lie neither on data nor on each other.

    lines: name -> line style, of what is told apart by that and not by colour.
    """
    named = {name: handle for axis in figure.axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    if not named:
        return
    named |= {name: Line2D([], [], color="black", linewidth=1, linestyle=dashes) for name, dashes in (lines or {}).items()}
    columns = int(figure.get_figwidth() * PER_INCH / (max(map(len, named)) + SIGN))
    columns = min(max(columns, 1), len(named))
    figure.set_figheight(figure.get_figheight() + LINE * -(-len(named) // columns))
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns, fontsize=7)


def wrapped(arm: str, width: int = 22) -> str:
    """An arm's label in lines of at most so many letters, for a narrow panel."""
    lines = textwrap.wrap(label(arm).replace("_", "_ "), width)
    return "\n".join(line.replace("_ ", "_") for line in lines)


def points(axis, data, rows, places: Sequence[str], by: str) -> None:
    """Means with their intervals, arms side by side at each place. rows: arm, mean, low, high, and the column `by` that names a place."""
    arms = every_arm(data)
    for arm in arms:
        part = rows[(rows["arm"] == arm) & rows[by].isin(list(places))]
        if part.empty:
            continue
        x = [list(places).index(row[by]) + shift(data.arms.get(row["model"], arms), arm) for _, row in part.iterrows()]
        errors = [part["mean"] - part["low"], part["high"] - part["mean"]]
        axis.errorbar(x, part["mean"], yerr=errors, linestyle="none", capsize=2, label=label(arm), **look(arms, arm))
    axis.set_xticks(range(len(places)), list(places), fontsize=8)
    axis.set_xlim(-0.6, len(places) - 0.4)


def save(figure: Figure, *paths: Path) -> None:
    """PDF and PNG without a date inside, so that the same numbers give the same bytes."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
        figure.savefig(path, metadata=metadata)
    plt.close(figure)
