"""Commands that the documentation gives: snakemake reads every word behind --configfile as another config file."""

import re

import pytest

SWALLOWED = re.compile(r"snakemake[^`\n]*--configfile\s+[^\s`]+[ \t]+(\w+)")


def documents(root):
    return [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "config").rglob("*.yaml")]


def test_no_target_stands_behind_a_config_file(root):
    found = [f"{path.name}: {match[0]}" for path in documents(root) for match in SWALLOWED.finditer(path.read_text())]
    assert found == [], "put the target first: snakemake TARGET --configfile FILE"


@pytest.mark.parametrize("line", ["snakemake --cores 1 --configfile a.yaml fetch", "snakemake --configfile a.yaml   figure_x"])
def test_such_a_command_is_seen(line):
    assert SWALLOWED.search(line)
