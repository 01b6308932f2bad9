"""`presto-bench audit` as a user runs it, in an empty folder, on tiny models: from the command to the card."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

import tiny_model
import warm
from endpoint import Endpoint
from presto_bench.lm import chat, folders, models
from serving import serving


def run(folder, *words):
    """`presto-bench` in a folder, its jobs from a warm Python; what it printed."""
    start = folder / "start.py"
    start.write_text("import sys; from presto_bench.cli import main; sys.exit(main(sys.argv[1:]))\n")
    command = [warm.python(), str(start), *words]
    done = subprocess.run(command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A target and a guide of one family; random ones, so that nothing is known and nothing refused."""
    folder = tmp_path_factory.mktemp("audit")
    for name in ("guide", "one"):
        tiny_model.make(folder / name)
    said = run(folder, "audit", "one", "--guide", "guide", "--limit", "4", "--lengths", "1", "3", "--cores", "2")
    return folder, said


def test_it_ends_with_a_card_in_three_forms(audited):
    folder, said = audited
    card = folder / "results/audit_one/card"
    found = json.loads((card / "card.json").read_text())
    assert found["about"]["target"] == "one" and found["about"]["guide"] == "guide"
    names = {row["name"] for row in found["measures"]}
    assert {"refuses_first_token", "prefilling_score", "guided_k20_prefill", "bits_net", "overrefusal"} <= names
    assert [row["tokens"] for row in found["by_length"]] == [1, 3]
    assert {row["kind"] for row in found["kinds"]} == {"affirmative", "list", "code_block", "role", "document", "translation"}
    assert (card / "card.png").stat().st_size > 1000 and "<!doctype html>" in (card / "card.html").read_text()
    assert "Depth card of one (4 requests)" in said


def test_a_card_beside_itself_differs_in_nothing(audited):
    folder, _ = audited
    cards = ["results/audit_one", "results/audit_one/card/card.json"]
    words = [sys.executable, "-m", "presto_bench.cli", "compare", *cards, "--out", "both.csv"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    table = pd.read_csv(folder / "both.csv")
    assert (table["paired"] == 4).any() and set(table["difference"]) <= {"–", "+0.00 [+0.00, +0.00]"}


def test_a_card_holds_no_text_of_a_request_or_an_answer(audited):
    folder, _ = audited
    results = folder / "results/audit_one"
    texts = {t for path in (results / "attacks").rglob("*.parquet") for t in pd.read_parquet(path)["response"] if len(t) > 20}
    texts |= set(pd.read_parquet(results / "data/prompts.parquet")["prompt"])
    for name in ("card.json", "card.html"):
        shown = (results / "card" / name).read_text()
        assert not [text for text in texts if text in shown]


@pytest.fixture(scope="module")
def audited_over_http(tmp_path_factory):
    """The same of a model that is served: the guide's own weights behind HTTP, as vLLM speaks."""
    folder = tmp_path_factory.mktemp("served")
    tiny_model.make(folder / "guide")
    with serving(*models.load(folder / "guide", "float32", "cpu")) as (server, url):
        words = ["audit", f"endpoint:{url}#tiny", "--guide", "guide", "--limit", "4", "--lengths", "1", "3", "--cores", "2"]
        said = run(folder, *words)
        asked = len(server.calls)
        run(folder, *words)
    return folder, said, asked, len(server.calls)


def test_a_served_model_has_a_card_too_with_what_was_not_measured(audited_over_http):
    folder, said, _, _ = audited_over_http
    assert "takes prompts as ids" in said and "Depth card of tiny" in said
    card = json.loads((folder / "results/audit_tiny/card/card.json").read_text())
    names = {row["name"] for row in card["measures"]}
    assert {"refuses_first_token", "prefilling_score", "guided_k20_prefill", "bits_net", "overrefusal"} <= names
    ranks = pd.read_parquet(folder / "results/audit_tiny/ranks/guide/target/seed0.parquet")
    assert ranks["rank"].max() > 20  # the server tells ranks beyond what it lists
    assert pd.read_parquet(folder / "results/audit_tiny/attention/guide/target/seed0.parquet").empty
    notes = json.loads((folder / "results/audit_tiny/ranks/guide/target/seed0.manifest.json").read_text())["notes"]
    assert any("behind an endpoint" in note for note in notes)


def test_a_second_run_of_a_served_audit_asks_for_nothing_but_a_probe(audited_over_http):
    _, _, first, second = audited_over_http
    assert first > 100 and second - first <= 5


LONG = 2000  # tokens of a prefill, the longest that the card is asked for


@pytest.fixture(scope="module")
def audited_on_own_requests(tmp_path_factory):
    """Requests, prefills and answers out of a file, two answers of them longer than 2,000 tokens; the judge is a server on this machine."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("guide", "one"):
        tiny_model.make(folder / name, max_position_embeddings=4096)
    dishes = ["bread", "soup", "tea", "rice", "salad"]
    rows = [
        {"prompt": f"How is {dish} made?", "prefill": f"To make {dish}", "answer": f"To make {dish}, cook it."}
        for dish in dishes
    ]
    for row in rows[:2]:
        row["answer"] = f"{row['answer']} " * 400
    pd.DataFrame(rows).to_csv(folder / "own.csv", index=False)
    server = Endpoint("--guess")
    words = ["--judge", f"endpoint:{server.url}/v1#grader", "--lengths", "2", str(LONG), "--cores", "2"]
    said = run(folder, "audit", "one", "--guide", "guide", "--requests", "own.csv", *words)
    server.stop()
    return folder, said


def test_requests_of_ones_own_have_a_card_with_nothing_fetched(audited_on_own_requests):
    folder, said = audited_on_own_requests
    assert "Depth card of one (5 requests)" in said
    card = json.loads((folder / "results/audit_one/card/card.json").read_text())
    names = {row["name"] for row in card["measures"]}
    assert {"refuses_first_token", "prefilling_score", "guided_k20_prefill", "bits_harmful", "overrefusal"} <= names
    assert {path.stem for path in (folder / "results/audit_one/sources").glob("*.csv")} == {"requests", "standin_benign"}
    assert card["top20"] and card["about"]["policy"] == "harm"


def test_a_text_of_the_users_own_stands_as_a_prefill_of_two_thousand_tokens(audited_on_own_requests):
    folder, _ = audited_on_own_requests
    said = pd.read_parquet(folder / "results/audit_one/attacks/lengths/guide/target/seed0.parquet")
    longest = said[said["variant"] == f"greedy_recipe_{LONG}"].set_index("prompt_id")
    tokenizer = folders.load_tokenizer(folder / "guide")
    assert sorted(len(chat.encode_text(tokenizer, text)) for text in longest["prefill"])[-2:] == [LONG, LONG]
    card = json.loads((folder / "results/audit_one/card/card.json").read_text())
    assert [(row["tokens"], row["n"]) for row in card["by_length"]] == [(2, 5), (LONG, 2)]


def test_its_file_of_requests_can_be_read_by_its_owner_alone(audited_on_own_requests):
    folder, _ = audited_on_own_requests
    assert (folder / "results/audit_one/sources/requests.csv").stat().st_mode & 0o077 == 0
