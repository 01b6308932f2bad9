"""What judges need beside their config: templates, the strong_reject package, opting in, an estimate of the cost."""

import hashlib
import http.server
import json
import sys
import threading
from pathlib import Path

import pytest

from presto_bench import config
from presto_bench.config.judges import Rubric, StrongReject
from presto_bench.errors import UserError
from presto_bench.judges import strong_reject
from presto_bench.judges.base import Bench, Item
from presto_bench.judges.replies import Reply, ReplyStore
from presto_bench.runs import costs
from presto_bench.stages import judge_template
from presto_bench.stages.job import Job

PACKAGED = json.dumps(
    {
        "strongreject_rubric": "Asked: {forbidden_prompt}\nSaid: {response}\nAs JSON {{}}.",
        "strongreject_rubric_system": "Grade.",
        "other": "x",
    }
).encode()


@pytest.fixture
def served(tmp_path):
    """URL of a real local server that serves the package's file."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "judge_templates.json").write_bytes(PACKAGED)
    handler = lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory=folder)  # noqa: E731
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/judge_templates.json"
    server.shutdown()


def fetched(tmp_path, **template):
    out = tmp_path / "template.json"
    job = Job("judge_template", {}, {"template": template}, "", {}, {"template": str(out)}, tmp_path)
    judge_template.make(job)
    return json.loads(out.read_text())


def test_the_packages_prompts_are_fetched_checked_and_unescaped(served, tmp_path):
    digest = hashlib.sha256(PACKAGED).hexdigest()
    found = fetched(tmp_path, source="strong_reject", url=served, sha256=digest)
    assert found["user"].endswith("As JSON {}.") and found["system"] == "Grade."
    assert (found["source"], found["sha256"]) == (served, digest)


def test_another_file_than_the_one_that_was_pinned_is_refused(served, tmp_path):
    with pytest.raises(UserError, match="sha256"):
        fetched(tmp_path, source="strong_reject", url=served, sha256="0" * 64)
    assert not (tmp_path / "template.json").exists()


def test_an_unreachable_template_says_what_else_can_be_done(tmp_path):
    with pytest.raises(UserError, match="cannot be fetched") as error:
        fetched(tmp_path, source="strong_reject", url="http://127.0.0.1:1/judge_templates.json")
    assert "source: own" in error.value.mend


def test_a_file_of_ones_own_and_our_own_template(tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text('{"user": "{forbidden_prompt} {response}"}')
    assert fetched(tmp_path, source="file", path=str(mine))["system"] is None
    assert fetched(tmp_path, source="own")["source"] == "presto_bench"


RUBRIC = {"name": "gpt", "kind": "rubric", "model": "m"}


def refused(raw_config, judge):
    raw_config["judges"].append(judge)
    with pytest.raises(UserError) as error:
        config.load(raw_config)
    return str(error.value)


def test_completions_leave_this_machine_only_if_the_config_names_the_host(raw_config):
    said = refused(raw_config, dict(RUBRIC))
    assert "api.openai.com" in said and "allow_host" in said
    raw_config["judges"][-1]["allow_host"] = "api.openai.com"
    config.load(raw_config)
    raw_config["judges"][-1]["base_url"] = "https://elsewhere.example/v1"
    with pytest.raises(UserError, match=r"elsewhere\.example"):
        config.load(raw_config)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_server_on_this_machine_needs_no_opting_in(raw_config, host):
    raw_config["judges"].append(RUBRIC | {"base_url": f"http://{host}:8000/v1", "key": None})
    config.load(raw_config)


def test_a_key_written_into_the_config_is_refused_and_not_repeated(raw_config):
    said = refused(raw_config, RUBRIC | {"allow_host": "api.openai.com", "key": "sk-live-canary"})
    assert "canary" not in said and ".key" in said
    raw_config["judges"].pop()
    said = refused(raw_config, RUBRIC | {"allow_host": "h.example", "base_url": "https://me:canary@h.example/v1"})
    assert "canary" not in said


def test_a_cap_without_a_price_is_refused(raw_config):
    assert "price" in refused(raw_config, RUBRIC | {"allow_host": "api.openai.com", "max_cost": 5})


def test_the_absent_package_is_named_with_its_install_command_before_any_job(raw_config):
    said = refused(raw_config, {"name": "s", "kind": "strong_reject"})
    assert "not installed" in said and "pip install 'git+https" in said


PACKAGE = '''
from datasets import Dataset
NAN = float("nan")
def evaluate_dataset(dataset, evaluators, models=None, model_kwargs=None, batch_size=1, **kwargs):
    """As the package documents it: adds score and evaluator; for the rubric also its parts. All judges failed: score NaN."""
    if evaluators != ["strongreject_rubric"] and evaluators != ["string_matching"]:
        raise KeyError(evaluators[0])
    rows = []
    for row in list(dataset)[::-1]:
        parts = {"refusal": 0, "convincingness": 5, "specificity": 3} if evaluators == ["strongreject_rubric"] else {}
        score = NAN if "fail" in row["response"] else 9.0 if "far" in row["response"] else 0.75
        rows.append({**row, "score": score, "evaluator": evaluators[0], **({} if score != score else parts)})
    return Dataset.from_list(rows)
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with strong_reject's documented interface; the real one cannot be had from PyPI."""
    folder = tmp_path / "site/strong_reject"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "evaluate.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(folder.parent))
    yield
    for name in [name for name in sys.modules if name.startswith("strong_reject")]:
        del sys.modules[name]


ITEMS = [Item(f"id{i}", "How?", "", "", text) for i, text in enumerate(["fine", "it will fail", "far out", "fine too"])]


def test_the_packages_grades_come_back_in_our_order_and_a_nan_is_missing(package):
    chosen = StrongReject(name="s", kind="strong_reject", evaluator="strongreject_rubric", allow_host="api.openai.com")
    grades = strong_reject.load(chosen, Bench(None, Path("unused"))).grade(ITEMS)
    assert [g.completion_id for g in grades] == [i.completion_id for i in ITEMS]
    assert [(g.status, g.score) for g in grades] == [("ok", 0.75), ("missing", None), ("error", None), ("ok", 0.75)]
    assert (grades[0].refusal, grades[0].convincingness, grades[0].specificity) == (0, 5, 3)


def test_a_scalar_evaluator_has_no_parts_and_an_unknown_one_is_named(package):
    chosen = StrongReject(name="s", kind="strong_reject", evaluator="string_matching")
    (grade,) = strong_reject.load(chosen, Bench(None, Path("unused"))).grade(ITEMS[:1])
    assert (grade.status, grade.score, grade.refusal) == ("ok", 0.75, None)
    with pytest.raises(UserError, match=r"judges\.s\.evaluator"):
        strong_reject.load(chosen.model_copy(update={"evaluator": "typo"}), Bench(None, Path("unused"))).grade(ITEMS)


def test_the_packages_own_paid_evaluator_must_be_opted_in_too(package):
    with pytest.raises(ValueError, match=r"api\.openai\.com"):
        StrongReject(name="s", kind="strong_reject", evaluator="strongreject_rubric")


def test_the_estimate_counts_every_grading_and_the_ledger_what_was_spent(raw_config, tmp_path):
    """By hand: three arms and the untouched model under `direct`, which has two variants."""
    raw_config |= {"reply_store": str(tmp_path), "attacks": [{"name": "direct", "kind": "direct", "max_new_tokens": 60}]}
    price = {"price": {"input": 2.0, "output": 10.0}, "request": {"max_completion_tokens": 50}}
    judges = raw_config["judges"][:1]
    raw_config["judges"] = [*judges, RUBRIC | price | {"allow_host": "api.openai.com"}]
    (row,) = costs.estimate(config.load(raw_config), 10).to_dict("records")
    gradings = (3 + 1) * 2 * 10
    assert row["gradings"] == gradings
    assert row["completion_tokens"] == gradings * 3 * 50  # a reply may be asked for three times
    assert row["prompt_tokens"] == gradings * 3 * (60 + 600 + 40 + 40)
    assert row["bound"]
    assert row["dollars"] == pytest.approx((2 * row["prompt_tokens"] + 10 * row["completion_tokens"]) / 1e6)
    assert (row["calls_so_far"], row["dollars_so_far"]) == (0, 0)
    ReplyStore(tmp_path).paid("gpt", Reply("x", None, 1000, 100))
    (row,) = costs.estimate(config.load(raw_config), 10).to_dict("records")
    assert (row["calls_so_far"], row["dollars_so_far"]) == (1, pytest.approx(0.003))


def test_a_judge_is_paid_for_the_attacks_that_it_grades(raw_config, tmp_path):
    paid = RUBRIC | {"allow_host": "api.openai.com", "price": {"input": 1.0, "output": 1.0}}
    raw_config |= {"reply_store": str(tmp_path)}
    own = raw_config["judges"]

    def gradings(**more):
        raw_config["judges"] = [*own, paid | more]
        return costs.estimate(config.load(raw_config), 10)["gradings"].item()

    names = [attack["name"] for attack in raw_config["attacks"]]
    assert gradings() == sum(gradings(attacks=[name]) for name in names) > gradings(attacks=names[:1]) > 0


def test_a_judges_price_is_no_part_of_what_a_grade_is():
    cheap, dear = (Rubric(**RUBRIC, allow_host="api.openai.com", price={"input": p, "output": p}) for p in (1, 2))
    exclude = set(Rubric.run_only)
    assert cheap.model_dump(exclude=exclude) == dear.model_dump(exclude=exclude)
