"""Public data sets: fetched from a real HTTP server, checked by hash, rows and columns; every mistake names the file and the mend."""

import hashlib
import json
import re
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from presto_bench.config import source_names
from presto_bench.data import source_files, sources
from presto_bench.errors import UserError

ROWS = pd.DataFrame({"category": ["a", "b"], "source": "ours", "forbidden_prompt": ["How is bread made?", "How is jam made?"]})


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder behind a real server, and a source `strongreject` that lies there."""
    folder = tmp_path / "served"
    folder.mkdir()
    ROWS.to_csv(folder / "set.csv", index=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digest = hashlib.sha256((folder / "set.csv").read_bytes()).hexdigest()
    entry = replace(
        sources.SOURCES["strongreject"], url=f"http://127.0.0.1:{server.server_port}/set.csv", rows=len(ROWS), sha256=digest
    )
    monkeypatch.setitem(sources.SOURCES, "strongreject", entry)
    yield folder, entry
    server.shutdown()


def test_a_source_is_fetched_checked_and_read_with_our_columns(served, tmp_path):
    _, entry = served
    found = source_files.fetch("strongreject", None, tmp_path / "strongreject.csv")
    assert found["sha256"] == entry.sha256 and found["rows"] == 2 and found["licence"] == "MIT"
    assert list(source_files.read("strongreject", tmp_path / "strongreject.csv").columns) == ["category", "source", "prompt"]
    assert (tmp_path / "strongreject.csv").stat().st_mode & 0o077 == 0  # forbidden requests: the owner's alone


def test_other_bytes_than_the_pinned_ones_are_refused_and_not_kept(served, tmp_path):
    folder, _ = served
    (folder / "set.csv").write_text((folder / "set.csv").read_text().replace("jam", "ham"))
    with pytest.raises(UserError, match="sha256") as error:
        source_files.fetch("strongreject", None, tmp_path / "strongreject.csv")
    assert "source_overrides" in error.value.mend
    assert not (tmp_path / "strongreject.csv").exists()


def test_a_file_with_another_number_of_rows_is_not_what_its_name_says(served, tmp_path, monkeypatch):
    monkeypatch.setitem(sources.SOURCES, "strongreject", replace(served[1], rows=313))
    with pytest.raises(UserError, match="2 rows, not 313"):
        source_files.fetch("strongreject", None, tmp_path / "strongreject.csv")


def test_an_address_that_does_not_answer_names_the_way_around(served, tmp_path, monkeypatch):
    monkeypatch.setitem(sources.SOURCES, "strongreject", replace(served[1], url=served[1].url.replace("set.csv", "gone.csv")))
    with pytest.raises(UserError, match="404") as error:
        source_files.fetch("strongreject", None, tmp_path / "strongreject.csv")
    assert "source_overrides: {strongreject: FILE}" in error.value.mend


def test_a_gated_source_gives_the_steps_to_its_access(tmp_path):
    with pytest.raises(UserError, match="gate") as error:
        source_files.fetch("llama2_triples", None, tmp_path / "llama2_triples.jsonl")
    assert "accept its terms" in error.value.mend and "source_overrides: {llama2_triples: FILE}" in error.value.mend


MISTAKES = {
    "no file": (None, "there is no file"),
    "a column is missing": ("category,source\na,b\n", "no column forbidden_prompt"),
    "a blank prompt": ('category,source,forbidden_prompt\na,b,"x"\na,b," "\n', "row 1: prompt is blank"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_users_own_file_is_checked_too(tmp_path, mistake):
    text, said = MISTAKES[mistake]
    path = tmp_path / "own.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=said):
        source_files.fetch("strongreject", str(path), tmp_path / "strongreject.csv")


def test_a_file_of_the_package_is_a_source_too(tmp_path):
    found = source_files.fetch("standin_benign", None, tmp_path / "standin_benign.csv")
    assert found["rows"] == 190 and source_files.read("standin_benign", tmp_path / "standin_benign.csv")["prompt"].is_unique


def test_requests_of_ones_own_have_to_be_named_and_may_bring_more_columns(tmp_path):
    with pytest.raises(UserError, match="no file is named") as error:
        source_files.fetch("requests", None, tmp_path / "requests.csv")
    assert "columns prompt and prefill" in error.value.mend
    (tmp_path / "own.csv").write_text("answer,prompt,prefill,mine\nKnead.,Bread?,To,1\n")
    source_files.fetch("requests", str(tmp_path / "own.csv"), tmp_path / "requests.csv")
    assert list(source_files.read("requests", tmp_path / "requests.csv").columns) == ["prompt", "prefill", "answer"]


def test_a_cut_file_is_named(tmp_path):
    (tmp_path / "own.jsonl").write_text('{"instruction": "How is bread made?", "ref')
    with pytest.raises(UserError, match="not readable"):
        source_files.fetch("push_forward_qwen3_triples", str(tmp_path / "own.jsonl"), tmp_path / "x.jsonl")


def test_a_list_of_texts_is_a_table_of_prompts(tmp_path):
    (tmp_path / "own.json").write_text(json.dumps(["Name two colours.", "Name a river."]))
    source_files.fetch("push_forward_utility_prompts", str(tmp_path / "own.json"), tmp_path / "x.json")
    assert list(source_files.read("push_forward_utility_prompts", tmp_path / "x.json")["prompt"]) == [
        "Name two colours.",
        "Name a river.",
    ]


@pytest.mark.parametrize("name", sources.SOURCES)
def test_every_source_lies_at_a_commit_or_says_why_not(name):
    source = sources.SOURCES[name]
    assert re.search(r"/[0-9a-f]{40}/", source.url) or source.gated or source.url.startswith(source_files.PACKAGED)
    assert source.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", source.sha256)
    assert source.licence and source.columns and source.ending in ("csv", "json", "jsonl", "parquet")


def test_a_config_may_name_exactly_the_sources_that_there_are():
    assert list(source_names.NAMES) == sorted(sources.SOURCES)
