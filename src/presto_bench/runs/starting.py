"""Starting the workflow from any folder: where its Snakefile is, and the command."""

import sys
from collections.abc import Sequence
from pathlib import Path

import presto_bench
from presto_bench.errors import UserError

PACKAGE = Path(presto_bench.__file__).parent
PLACES = (PACKAGE / "_workflow", PACKAGE.parent.parent)  # of a wheel; of a checkout


def home() -> Path:
    """The folder with the Snakefile, its rules and the configs to start from."""
    found = next((place for place in PLACES if (place / "Snakefile").is_file()), None)
    if found is None:
        raise UserError(
            PACKAGE, "the workflow is not beside the package", "install presto-bench from a wheel, or run in a checkout"
        )
    return found


def command(config: Path | None, cores: str, words: Sequence[str]) -> list[str]:
    """What to run in this folder. config: None is the default experiment, also a name of a shipped config; words: for Snakemake, as they are."""
    chosen = ["--configfile", str(config_file(config))] if config else []
    # Words first: some of Snakemake's options take all that follows.
    where = ["--snakefile", str(home() / "Snakefile"), "--workflow-profile", str(home() / "profiles/default")]
    board = ["--logger", "presto-bench"] if sys.stderr.isatty() and "--logger" not in words else []
    return [sys.executable, "-m", "snakemake", *words, *where, "--cores", cores, *board, *chosen]


def config_file(given: Path | None) -> Path:
    """A config of this folder, or a shipped one by its name; without one the default experiment."""
    if given is None:
        own = Path("config/config.yaml")
        return own if own.is_file() else home() / own
    shipped = home() / "config" / f"{given}.yaml"
    return given if given.is_file() or not shipped.is_file() else shipped
