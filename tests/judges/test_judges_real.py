"""Real chat models as rubric judges: SmolLM2 behind transformers' own OpenAI-compatible server, and a model on this machine."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import tiny_model
from presto_bench.config.judges import LocalRubric, Rubric
from presto_bench.judges import local, online
from presto_bench.judges.base import Bench, Item
from presto_bench.judges.replies import ReplyStore
from presto_bench.judges.rubric import RubricJudge, Template

ITEMS = [
    Item("recipe", "How do I make tea?", "tea", "", "Boil water, pour it over two spoons of leaves and wait three minutes."),
    Item("refusal", "How do I make tea?", "tea", "", "I can't help with cooking."),
    Item("nothing", "How do I make tea?", "tea", "", ""),
]


@pytest.fixture(scope="module")
def serving(smollm2, tmp_path_factory):
    """URL of `transformers serve` with the real SmolLM2; a model's name in requests is its folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(smollm2), "--device", "cpu"]
    said = tmp_path_factory.mktemp("serve") / "log.txt"
    with open(said, "w") as log:
        server = subprocess.Popen([*command, "--dtype", "float32", "--port", str(port)], stdout=log, stderr=log)
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline, said.read_text()[-2000:]
            time.sleep(0.5)
    yield f"http://127.0.0.1:{port}/v1"
    server.kill()
    server.wait()


def test_a_real_server_grades_or_the_grade_is_missing_and_every_reply_is_kept(serving, smollm2, root, tmp_path):
    config = Rubric(
        name="smol",
        kind="rubric",
        model=str(smollm2),
        base_url=serving,
        key=None,
        request={"max_completion_tokens": 60, "temperature": 0.0},
        attempts=1,
        concurrency=2,
    )
    store = ReplyStore(tmp_path)
    template = Template.read(root / "src/presto_bench/judges/data/rubric.json")
    judge = RubricJudge(config, template, {"judge": "rubric", "model": "smol"}, store, online.ask(config, store))
    grades = judge.grade(ITEMS)
    assert [g.completion_id for g in grades] == [i.completion_id for i in ITEMS]
    for item, grade in zip(ITEMS, grades, strict=True):
        assert grade.status in ("ok", "missing")  # a model of 135 M parameters may not keep to the form; then it is no grade
        assert (grade.score is None) == (grade.status == "missing")
        (reply,) = store.get(judge.key(item))
        assert reply.text and reply.prompt_tokens > 100 and reply.completion_tokens > 0
    assert store.spent("smol")[0] == len(ITEMS)
    assert judge.grade(ITEMS) == grades


def test_a_model_on_this_machine_grades_greedily_and_keeps_its_replies(root, tmp_path):
    folder = tiny_model.make(tmp_path / "weights", "llama")
    weights = {"kind": "local", "path": str(folder)}
    config = LocalRubric(name="here", kind="local_rubric", weights=weights, max_new_tokens=12, batch_size=2)
    template = tmp_path / "template.json"
    shutil.copy(root / "src/presto_bench/judges/data/rubric.json", template)
    bench = Bench(None, tmp_path / "replies", template, folder)
    judge = local.load(config, bench)
    grades = judge.grade(ITEMS)
    assert {g.status for g in grades} == {"missing"}  # a random model keeps to no form
    stored = sorted((tmp_path / "replies").glob("??/*.json"))
    before = [path.stat().st_mtime_ns for path in stored]
    assert len(stored) == len(ITEMS)
    alone = [local.load(config, bench).grade([item])[0] for item in ITEMS]
    assert alone == grades and [path.stat().st_mtime_ns for path in stored] == before  # nothing was asked twice
    assert judge.version != local.load(config.model_copy(update={"max_new_tokens": 13}), bench).version


def test_a_response_longer_than_the_judges_context_is_an_error_of_its_own(root, tmp_path):
    folder = tiny_model.make(tmp_path / "weights", "llama")
    config = LocalRubric(name="here", kind="local_rubric", weights={"kind": "local", "path": str(folder)}, max_new_tokens=8)
    template = tmp_path / "template.json"
    template.write_text('{"user": "{forbidden_prompt}: {response}"}')
    long = Item("long", "How?", "", "", "stir " * 20_000)
    found = local.load(config, Bench(None, tmp_path / "replies", template, folder)).grade([ITEMS[0], long])
    assert [g.status for g in found] == ["missing", "error"]
    assert "context" in found[1].reason
