"""Memory and time against sequence length, from presto_step.py's lines.

python benchmarks/presto_figure.py benchmarks/results/presto_step_cpu.jsonl docs/figures/presto_cost.png
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from presto_bench.report.figures import style

LABELS = {"sdpa": "plain SDPA", "fused": "PRESTO, fused (ours)", "eager": "PRESTO, eager"}


def lines(path: Path) -> pd.DataFrame:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return pd.DataFrame([{**row["on"], **{k: row[k] for k in ("name", "value", "unit")}} for row in rows])


def slope(part: pd.DataFrame) -> float:
    """Exponent of value ~ tokens^slope over the upper half of the lengths."""
    upper = part.dropna(subset="value").tail(3)
    return float(np.polyfit(np.log(upper["tokens"]), np.log(upper["value"]), 1)[0])


def draw(table: pd.DataFrame):
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    memory = table[table["name"] == "memory_by_length"]
    for i, (variant, label) in enumerate(LABELS.items()):
        part = memory[memory["variant"] == variant].sort_values("tokens")
        left.plot(
            part["tokens"],
            part["value"],
            marker=style.MARKERS[i],
            color=style.COLOURS[i],
            label=f"{label} (~T^{slope(part):.2f})",
        )
    left.set(xscale="log", yscale="log", xlabel="tokens", ylabel="MiB above the model", title="memory of one LoRA step")
    left.legend(fontsize=7)
    part = table[table["name"] == "time_vs_sdpa_by_length"].sort_values("tokens")
    right.plot(part["tokens"], part["value"], marker="s", color=style.COLOURS[1])
    right.axhline(1, color="black", linewidth=0.8)
    right.set(xscale="log", xlabel="tokens", ylabel="time: fused PRESTO / plain SDPA", title="time of one LoRA step")
    for axis in (left, right):
        axis.set_xticks(sorted(memory["tokens"].unique()), [f"{n:.0f}" for n in sorted(memory["tokens"].unique())], minor=False)
        axis.minorticks_off()
    return figure


if __name__ == "__main__":
    with style.house():
        style.save(draw(lines(Path(sys.argv[1]))), Path(sys.argv[2]))
