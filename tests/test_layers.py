"""The layout: what import-linter does not see. Names of modules in text obey the same layers, and nothing loads torch that need not."""

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import presto_bench
from presto_bench import registry
from presto_bench.errors import UserError
from presto_bench.moved import MOVED

SOURCE = Path(__file__).parent.parent / "src/presto_bench"
NAMED = re.compile(r"presto_bench((?:\.\w+)+)(?::(\w+))?")
# Where a name may point upwards: an entry of the config says what runs it, the registry which class an entry is,
# and the package itself what it offers.
UPWARDS = {"__init__", "registry", "config.attacks", "config.judges", "config.tasks"}


def layers() -> list[set[str]]:
    """From the highest to the ground, as pyproject.toml has them."""
    found = tomllib.loads((SOURCE.parent.parent / "pyproject.toml").read_text())
    (contract,) = found["tool"]["importlinter"]["contracts"]
    return [{name.strip() for name in layer.split(":")} for layer in contract["layers"]]


def named() -> list[tuple[str, str, str | None]]:
    """(module, module that it names in text, attribute): every string of the package that is such a name as a whole."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := NAMED.fullmatch(node.value)):
                found.append((module, match[1][1:], match[2]))
    return found


def height(module: str) -> int:
    """Layers below a module's own."""
    top = module.split(".")[0]
    return next(i for i, layer in enumerate(reversed(layers())) if top in layer)


def test_there_are_names_to_hold_to_the_layers():
    assert len(named()) > 25


@pytest.mark.parametrize(("module", "target", "attribute"), named())
def test_a_name_in_text_is_there_and_obeys_the_layers(module, target, attribute):
    found = importlib.import_module(f"presto_bench.{target}")
    assert attribute is None or hasattr(found, attribute)
    assert module in UPWARDS or height(target) <= height(module)


TORCHLESS = (
    "import sys; {}; loaded = [n for n in ('torch', 'transformers', 'pandas') if n in sys.modules]; assert not loaded, loaded"
)


@pytest.mark.parametrize(
    "what", ["import presto_bench", "from presto_bench import config", "from presto_bench.config import reading"]
)
def test_neither_the_package_nor_its_config_loads_torch(what):
    subprocess.run([sys.executable, "-c", TORCHLESS.format(what)], check=True)


def test_parsing_the_snakefile_loads_no_torch(root, tmp_path):
    """By a line that a copy of the Snakefile ends with."""
    said = "\nimport sys\nassert 'torch' not in sys.modules, 'torch was loaded'\nprint('parsed without torch')\n"
    for name in ("rules", "workflow", "config", "src"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "Snakefile").write_text((root / "Snakefile").read_text() + said)
    words = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "results/standin/data/prompts.parquet"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "parsed without torch" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", presto_bench.PUBLIC)
def test_a_public_name_comes_when_it_is_asked_for(name):
    assert getattr(presto_bench, name) is not None and name in dir(presto_bench)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("from presto_bench.attacks.configs import AttackConfig", "presto_bench.config.attacks"),
        ("from presto_bench import chat", "presto_bench.lm.chat"),
        ("import presto_bench.figures.style", "presto_bench.report.figures"),
    ],
)
def test_a_plug_in_that_names_an_old_address_is_told_the_new_one(tmp_path, monkeypatch, line, address):
    (tmp_path / "old_plug_in.py").write_text(line + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "old_plug_in", raising=False)
    with pytest.raises(UserError, match="cannot import 'old_plug_in:Mine'") as error:
        registry.load("old_plug_in:Mine", "attacks[0].kind")
    assert error.value.mend == f"it is {address} now"


def test_every_new_address_is_there():
    assert all(importlib.util.find_spec(f"presto_bench.{new}") for new in MOVED.values())
