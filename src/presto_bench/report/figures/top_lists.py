"""The ten likeliest next tokens, step by step, for one request (the paper's Figures 1 and 2)."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

WIDEST = 12  # characters of a token


def draw(data: Data) -> Figure:
    """One panel a model, arm and place: columns are steps, lines are ranks. The token that guided RAP picks is framed; where its rank lies below the list, the rank stands under the column."""
    table = data.table("top_lists")
    panels = list(table.groupby(["model", "arm", "place"], sort=False))
    steps = int(table["step"].max())
    figure, axes = plt.subplots(len(panels), 1, figsize=(1.35 * steps, 2.5 * len(panels)), squeeze=False)
    for axis, ((model, arm, place), rows) in zip(axes[:, 0], panels, strict=True):
        _panel(axis, rows)
        axis.set_title(f"{model}: {style.label(arm)}, {place}", loc="left", fontsize=9)
    return figure


def _panel(axis, rows) -> None:
    lowest = int(rows["rank"].max())
    axis.set_xlim(0.4, rows["step"].max() + 0.6)
    axis.set_ylim(lowest + 1.6, 0.4)
    axis.set_xticks(sorted(rows["step"].unique()), [f"step {step}" for step in sorted(rows["step"].unique())], fontsize=7)
    axis.set_yticks(range(1, lowest + 1), [str(rank) for rank in range(1, lowest + 1)], fontsize=6)
    axis.grid(False)
    for row in rows.itertuples():
        frame = (
            {"boxstyle": "round,pad=0.15", "facecolor": "none", "edgecolor": "#d55e00"} if row.rank == row.picked_rank else None
        )
        text = f"{_shown(row.token)}  {row.probability:.0%}"
        axis.text(
            row.step, row.rank, text, ha="center", va="center", fontsize=5.5, family="monospace", bbox=frame, parse_math=False
        )
    for row in rows.drop_duplicates("step").itertuples():
        if row.picked_rank > lowest:
            axis.text(
                row.step, lowest + 1, f"picked: rank {row.picked_rank}", ha="center", va="center", fontsize=5, color="#d55e00"
            )


def _shown(token: object) -> str:
    """A token on one line, white space as a mark."""
    text = "".join("␣" if c == " " else "¶" if c in "\r\n" else c if c.isprintable() else "·" for c in str(token))
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
