"""judgezoo's judges by name: against the interface that its documentation describes, and against the package itself where it is installed."""

import importlib.util
import logging
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import tiny_model
from presto_bench.config.judges import JudgeZoo
from presto_bench.errors import UserError
from presto_bench.judges import judgezoo
from presto_bench.judges.base import Bench, Item

# As its README tells: from_name(name, **arguments); a call takes conversations and gives a dictionary of lists.
PACKAGE = """
import logging

class Judge:
    def __init__(self, name, arguments):
        self.name, self.arguments = name, arguments

    @classmethod
    def from_name(cls, name, **arguments):
        if name not in ("strong_reject", "harmbench", "pair", "adaptive_attacks", "llama_guard_3"):
            raise ValueError(f"Unknown judge {name}")
        return cls(name, arguments)

    def __call__(self, chats, *args, verbose=False, **kwargs):
        assert all([m["role"] for m in chat] == ["user", "assistant"] for chat in chats)
        if self.name == "harmbench":
            raise RuntimeError(f"could not send {chats[0][1]['content']}")
        if self.name == "llama_guard_3":
            return {"category": ["unsafe"] * len(chats)}
        if self.name == "adaptive_attacks":
            assert kwargs["target_chats"] == chats
        logging.warning("Could not read %s", chats[0][1]["content"])
        said = {"none": None, "nan": float("nan"), "two": 2.0}
        return {"p_harmful": [said.get(chat[1]["content"], 0.25) for chat in chats], "rating": ["2"] * len(chats)}
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "judgezoo.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "judgezoo", raising=False)
    yield
    sys.modules.pop("judgezoo", None)


def config(judge="strong_reject", **more):
    return JudgeZoo(name="z", kind="judgezoo", judge=judge, **more)


def graded(entry, *responses):
    items = [Item(f"c{i}", "Bake a cake.", "cake", "", text) for i, text in enumerate(responses)]
    return judgezoo.load(entry, Bench(None, Path("replies"))).grade(items)


def test_its_score_is_kept_and_what_it_cannot_score_is_missing(package):
    found = graded(config(), *["fine"] * 9, "none", "nan", "two")
    assert [g.completion_id for g in found] == [f"c{i}" for i in range(12)]
    assert [g.score for g in found] == [0.25] * 9 + [None] * 3
    assert [g.status for g in found[9:]] == ["missing", "missing", "error"]
    assert all(g.refusal is None and g.reason for g in found)


def test_a_judge_that_asks_for_the_meant_conversation_gets_it(package):
    assert graded(config("adaptive_attacks", allow_host="api.openai.com"), "fine")[0].score == 0.25


def test_what_the_package_logs_of_a_text_reaches_no_log(package, caplog):
    graded(config(), "a secret cake")
    assert "secret" not in caplog.text
    logging.getLogger("presto_bench").warning("ours are shown again")
    assert "ours are shown again" in caplog.text


def test_its_errors_end_the_job_without_the_texts(package):
    with pytest.raises(UserError, match=r"judges\.z\.judge: harmbench of judgezoo failed: RuntimeError") as error:
        graded(config("harmbench"), "a secret cake")
    assert "secret" not in str(error.value)


def test_an_unknown_name_and_a_judge_without_a_score_are_named(package):
    with pytest.raises(UserError, match=r"nobody of judgezoo could not be made"):
        graded(config("nobody", allow_host="api.openai.com"), "fine")
    with pytest.raises(UserError, match="gives no `p_harmful`"):
        graded(config("llama_guard_3"), "fine")


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ({"judge": "pair"}, "api.openai.com"),
        ({"judge": "pair", "arguments": {"remote_foundation_model": "claude-sonnet-4-5"}}, "api.anthropic.com"),
        ({"judge": "best_of_n", "arguments": {"base_judge": "strong_reject_rubric"}}, "api.openai.com"),
    ],
)
def test_text_leaves_this_machine_by_name_only(package, entry, host):
    with pytest.raises(ValidationError, match=f"allow_host: {host}"):
        config(**entry)
    assert config(**entry, allow_host=host).host == host


@pytest.mark.parametrize(
    "entry", [{"judge": "harmbench"}, {"judge": "best_of_n"}, {"judge": "pair", "arguments": {"use_local_model": True}}]
)
def test_what_runs_here_needs_no_host(package, entry):
    assert config(**entry).host is None


@pytest.mark.parametrize(("judge", "why"), [("md_judge", "trust_remote_code"), ("xstest", "scores no harm")])
def test_judges_that_cannot_be_used_say_why(package, judge, why):
    with pytest.raises(ValidationError, match=why):
        config(judge)


@pytest.mark.skipif(importlib.util.find_spec("judgezoo") is not None, reason="judgezoo is installed")
def test_without_the_package_its_installation_is_named():
    with pytest.raises(UserError, match="judgezoo is not installed"):
        config()


@pytest.mark.skipif(importlib.util.find_spec("judgezoo") is None, reason="pip install 'presto-bench[judgezoo]'")
def test_the_package_itself_grades_with_a_local_model(tmp_path):
    folder = tiny_model.make(tmp_path / "tiny", "qwen3")
    entry = config("pair", arguments={"use_local_model": True, "local_foundation_model": str(folder)})
    found = graded(entry, "Mix flour and sugar.", "No.")
    assert [g.status for g in found] == ["missing", "missing"], (
        "a model of random weights gives no rating, and that is no score"
    )
    assert judgezoo.load(entry, Bench(None, Path("replies"))).version.startswith("judgezoo-0.")
