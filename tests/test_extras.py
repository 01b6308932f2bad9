"""Two kinds of install: the bare package is enough for the term and the measures; what needs more names the extra that brings it."""

import subprocess
import sys
import tomllib

import pytest

from presto_bench import errors

# As in an environment that has the bare package's dependencies alone: everything that only an extra brings cannot be found.
BARE = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.partition(".")[0] in {barred!r} else found(name, package)
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {barred!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def bare(code):
    # transformers looks for these itself and does without
    barred = set(errors.EXTRAS) - {"huggingface_hub", "yaml", "jinja2"}
    words = [sys.executable, "-c", BARE.format(barred=barred) + code]
    return subprocess.run(words, capture_output=True, text=True)


def test_the_term_and_the_measures_need_no_extra():
    modules = (
        "training.own_trainer",
        "training.presto",
        "measures.ranks",
        "measures.candidates",
        "measures.top_lists",
        "analysis.coercion",
    )
    done = bare("; ".join(f"import presto_bench.{module}" for module in modules))
    assert done.returncode == 0, done.stderr[-1500:]


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("from presto_bench.cli import main; sys.exit(main(['status']))", "workflow"),
        ("from presto_bench import registry; registry.load('presto_bench.judges.online:ask', 'judges')", "judges"),
        (
            "from presto_bench import registry; registry.load('presto_bench.attacks.human.screen:RapScreen', 'attacks')",
            "human|workflow",
        ),
        ("from presto_bench import registry; registry.load('presto_bench.report.page.charts:spec', 'page')", "page|workflow"),
    ],
)
def test_a_missing_extra_is_named_by_what_wants_it(code, extra):
    done = bare(code)
    assert done.returncode != 0
    assert any(f'pip install "presto-bench[{name}]"' in done.stderr for name in extra.split("|")), done.stderr[-1500:]


def test_every_extras_package_is_known_to_the_message(root):
    found = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = {"vl-convert-python": "vl_convert", "pyyaml": "yaml", "snakemake-executor-plugin-slurm": "snakemake"}
    told |= {"snakemake-interface-logger-plugins": "snakemake"}
    for extra in ("workflow", "page", "judges", "human"):
        for line in found[extra]:
            name = line.partition(">")[0].partition("[")[0].lower()
            if name not in ("presto-bench", "transformers"):  # the latter always comes, the workflow wants a later one
                assert errors.EXTRAS[told.get(name, name)] == extra, name
