"""The generated reference pages are those of the code: after a change `make reference` writes them anew."""

import sys

import pytest

from presto_bench import registry, tables


@pytest.fixture(scope="module")
def reference(root):
    sys.path.insert(0, str(root / "docs"))
    import reference

    yield reference
    sys.path.remove(str(root / "docs"))


@pytest.mark.parametrize("name", ["config.md", "tables.md", "cli.md", "api.md"])
def test_what_is_committed_is_what_the_code_says(reference, root, name):
    assert (root / "docs/reference" / name).read_text() == reference.pages()[name], "run: make reference"


def test_every_kind_and_every_table_has_a_place(reference):
    found = reference.pages()
    for section, kinds in registry.KINDS.items():
        for kind in kinds:
            assert f"### `{section}`: kind `{kind}`" in found["config.md"]
    for name in tables.TABLES:
        assert f"\n## {name}\n" in found["tables.md"]


def test_every_command_is_told_with_its_options(reference):
    page = reference.pages()["cli.md"]
    for said in ("## presto-bench audit", "`--guide`", "## presto-bench rap", "`--blind`", "## presto-bench plan"):
        assert said in page
