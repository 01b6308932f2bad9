"""Commands that the documentation gives: they exist, they say what they need, and no target stands where snakemake reads a config file."""

import re
import shlex
from pathlib import Path

import pytest

from presto_bench import cli

SWALLOWED = re.compile(r"snakemake[^`\n]*--configfile\s+[^\s`]+[ \t]+(\w+)")


def documents(root):
    return [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "config").rglob("*.yaml")]


def test_no_target_stands_behind_a_config_file(root):
    found = [f"{path.name}: {match[0]}" for path in documents(root) for match in SWALLOWED.finditer(path.read_text())]
    assert found == [], "put the target first: snakemake TARGET --configfile FILE"


@pytest.mark.parametrize("line", ["snakemake --cores 1 --configfile a.yaml fetch", "snakemake --configfile a.yaml   figure_x"])
def test_such_a_command_is_seen(line):
    assert SWALLOWED.search(line)


PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md")
BLOCK = re.compile(r"(?P<before>(?:[^\n]*\n){0,6})```bash\n(?P<lines>.*?)```", re.DOTALL)
# What a laptop without a network lacks -> how a command is known that wants it, and how one that only looks.
NEEDS = {
    "a cluster": (re.compile(r"--profile slurm|^srun|--configfile config/paper\.yaml"), re.compile(r"(^|\s)(-n|--dry-run)\b")),
    "a GPU": (re.compile(r"--policy harm"), re.compile(r"--config-only")),
}


def commands():
    """(page, line, what stands in the lines before its block) of every command in the pages."""
    root = Path(__file__).parent.parent
    found = []
    for page in sorted({path for pattern in PAGES for path in root.glob(pattern)}):
        for block in BLOCK.finditer(page.read_text()):
            lines = [line for line in block["lines"].splitlines() if line.strip()]
            found += [(str(page.relative_to(root)), line, block["before"]) for line in lines]
    return found


def told(line):
    """Words of a command, without its comment and what stands before its program."""
    words = shlex.split(re.sub(r"(?<=\s)#.*$|<[^>]*>", lambda m: "X" if m[0].startswith("<") else "", line))
    return words[words.index("presto-bench") :] if words[0] == "srun" else words


@pytest.mark.parametrize(("page", "line", "before"), commands(), ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_a_documented_command_is_one_that_there_is(page, line, before, root, capsys):
    """Its program knows its options; files, targets and configs of this repository that it names are there."""
    words = [word.removeprefix(".venv/bin/") for word in told(line.replace(".venv/bin/", ""))]
    program, rest = words[0], words[1:]
    if program == "presto-bench":
        if "--help" in rest:
            rest = [word for word in rest if word != "--help"]
            assert rest[0] in cli.parser().format_help()
        else:
            assert cli.parser().parse_args(rest).run
    elif program == "make":
        targets = re.findall(r"^([\w.$()-]+):", (root / "Makefile").read_text().replace("$(VENV)", ".venv"), re.MULTILINE)
        assert rest[0] in targets
    else:
        assert program in {"git", "snakemake", "export", "cp", "tmux", "srun", "python", "pip"} or "=" in program
    for word in rest:
        if word.startswith("config/") and word not in ("config/my.yaml", "config/mine.yaml"):
            assert (root / word).is_file(), f"{page}: {word}"


@pytest.mark.parametrize(("page", "line", "before"), commands(), ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_a_command_says_what_it_needs_beyond_a_laptop(page, line, before):
    for need, (wants, only_looks) in NEEDS.items():
        command = re.sub(r"(?<=\s)#.*$", "", line).replace(".venv/bin/", "")
        if wants.search(command) and not only_looks.search(command) and " plan " not in command and " cost " not in command:
            assert need in line or need in before, f"{page} does not say that this needs {need}: {line}"
