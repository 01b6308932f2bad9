"""What docs/howto/extending.md tells a plug-in's author: its examples conform, and each way to break a contract is named."""

import re
import sys

import pytest
import yaml

import tiny_model
from presto_bench import cli

BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)
ENTRIES = {
    "attacks": {"name": "polite", "kind": "my_attacks:Polite", "max_new_tokens": 4},
    "judges": {"name": "lengths", "kind": "my_judges:Lengths"},
    "tasks": {"name": "brevity", "kind": "my_tasks:Brevity"},
}


@pytest.fixture
def author(root, tmp_path, monkeypatch, raw_config):
    """The documentation's modules on the path, the default config with its entries, and a tiny model."""
    for name, code in BLOCK.findall((root / "docs/howto/extending.md").read_text()):
        (tmp_path / name).write_text(code)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    for section, entry in ENTRIES.items():
        raw_config[section].append(entry)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(raw_config))
    tiny_model.make(tmp_path / "model")
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith("my_")]:
        del sys.modules[name]


def conform(folder):
    return cli.main(["conform", "--config", str(folder / "my.yaml"), "--model", str(folder / "model")])


def test_the_documentations_examples_conform(author, capsys):
    assert conform(author) == 0
    said = capsys.readouterr().out
    assert said.count("ok ") == 12 and "MISSING" not in said


def test_a_config_without_plug_ins_has_nothing_to_try(root, author):
    assert cli.main(["conform", "--config", str(root / "config/config.yaml"), "--model", str(author / "model")]) == 2


BROKEN = {
    "torch in the config": ("my_attacks.py", "from typing", "import torch\nfrom typing", "imports torch"),
    "a draw without a key": (
        "my_attacks_run.py",
        '"polite")',
        '"polite" + str(__import__("random").random()))',
        "two runs differ",
    ),
    "requests left out": (
        "my_attacks_run.py",
        "for request in requests]",
        "for request in requests[:1]]",
        "every request needs a completion",
    ),
    "grades in another order": (
        "my_judges_run.py",
        "for i in items]",
        "for i in sorted(items, key=lambda i: i.response)]",
        "in their order",
    ),
    "a score out of range": ("my_judges_run.py", ", 1.0)", ", 9.0) + 2", "not in [0, 1]"),
    "a judge that raises": (
        "my_judges_run.py",
        "return [Grade",
        "assert items[0].continuation\n        assert all(i.continuation.strip() for i in items)\n        return [Grade",
        "AssertionError",
    ),
    "a value that is no number": ("my_tasks_run.py", "float(len(c.ids))", "float('nan')", "finite"),
    "no runner": ("my_tasks.py", "my_tasks_run:run", "my_tasks_run:walk", "walk"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_contract_is_named(author, capsys, fault):
    module, before, after, said = BROKEN[fault]
    text = (author / module).read_text()
    assert before in text
    (author / module).write_text(text.replace(before, after))
    assert conform(author) == 1
    assert said in capsys.readouterr().out
