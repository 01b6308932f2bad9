"""The strength rule's tables and picks, for a terminal."""

import json
from pathlib import Path

from presto_bench import tables
from presto_bench.config.experiment import Config

HIDDEN = ("seeds", "missing", "fails")


def screen(config: Config) -> str:
    """Each model's table, what it admits, and why the others are not admitted."""
    folder = Path("results") / config.experiment / "strength"
    return "\n\n".join(_of_model(folder, model.name) for model in config.models)


def _of_model(folder: Path, model: str) -> str:
    table = tables.read_csv(folder / f"{model}.csv")
    pick = json.loads((folder / f"{model}.json").read_text())
    shown = table.drop(columns=[name for name in table if name in HIDDEN or name.endswith("_low")])
    lines = [f"{model}: learning rates on dev requests", shown.to_string(index=False, float_format="%.3g"), ""]
    lines += [f"lr {rate}: not admissible: {'; '.join(reasons)}" for rate, reasons in pick["reasons"].items()]
    if pick["weakest"] is None:
        return "\n".join([*lines, "not established: no learning rate of the grid is admissible"])
    return "\n".join([*lines, f"weakest admissible: {pick['weakest']:g}; strongest: {pick['strongest']:g}"])
