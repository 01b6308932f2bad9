"""Stage files: written whole or not at all, checked at the door, keyed by ids that survive every stage."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench import tables
from presto_bench.errors import UserError

PREFILLS = pd.DataFrame({"prompt_id": ["a", "b"], "prefill": ["Sure!", "Of course!"], "source": ["x", "x"]})


def test_a_table_comes_back_as_it_was_written(tmp_path):
    tables.write(tmp_path / "t.parquet", "prefills", PREFILLS)
    pd.testing.assert_frame_equal(tables.read(tmp_path / "t.parquet", "prefills"), PREFILLS, check_dtype=False)


def test_equal_tables_are_equal_bytes(tmp_path):
    for name in "xy":
        tables.write(tmp_path / name, "prefills", PREFILLS)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="source"), "missing ['source']"),
        (lambda f: f.assign(extra=1), "unknown ['extra']"),
        (lambda f: f.assign(prefill=["Sure!", None]), "row 1: prefill is empty"),
        (lambda f: f.assign(prompt_id=["a", "a"]), "row 1 repeats the key prompt_id=a"),
        (lambda f: f.assign(prefill=[1, 2]), "wrong type"),
    ],
)
def test_a_wrong_frame_is_refused_and_nothing_is_written(tmp_path, change, said):
    with pytest.raises(UserError) as error:
        tables.write(tmp_path / "t.parquet", "prefills", change(PREFILLS))
    assert said in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_named_with_the_mend(tmp_path):
    path = tmp_path / "t.parquet"
    tables.write(path, "prefills", PREFILLS)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"t\.parquet.*not a readable prefills table") as error:
        tables.read(path, "prefills")
    assert "delete it" in error.value.mend


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="missing"):
        tables.read(tmp_path / "none.parquet", "prefills")


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path):
    """A real limit on the size of files stands for the disk: writing fails half way, in a process of its own."""
    path = tmp_path / "t.txt"
    tables.write_text(path, "old")
    code = (
        "import resource, signal, sys; from presto_bench import tables; from presto_bench.errors import UserError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: tables.write_text(sys.argv[1], 'new' * 10000)\n"
        "except UserError as error: print(error); sys.exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert "t.txt" in done.stdout and "To mend it" in done.stdout
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["t.txt"]


def test_ids_are_what_the_contract_says():
    # sha256("café" in NFC), computed with coreutils: printf 'caf\xc3\xa9' | sha256sum
    assert tables.prompt_id("cafe\u0301") == tables.prompt_id("caf\u00e9") == "850f7dc43910ff89"


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\x1f"))] * 2, st.integers()),
        min_size=2,
        unique=True,
    )
)
def test_different_completions_have_different_ids(keys):
    ids = {tables.completion_id("m", arm, 0, attack, "v", "p", sample) for arm, attack, sample in keys}
    assert len(ids) == len(keys)


@pytest.mark.parametrize(
    "other",
    [
        "HOW DO I MAKE BREAD? ",
        "how do I  make\nbread?",
        "How do I make bread\uff1f",
        "How do\u00a0I make bread?",
        "How do I make br\u200bead?",
    ],
)
def test_a_request_in_another_spelling_is_the_same_for_comparing_and_has_an_id_of_its_own(other):
    plain = "How do I make bread?"
    assert tables.normal_form(other) == tables.normal_form(plain)
    assert other == plain or tables.prompt_id(other) != tables.prompt_id(plain)


def test_quotes_and_dashes_are_one_and_words_are_not():
    assert tables.normal_form("What\u2019s a \u201croux\u201d \u2013 and why?") == tables.normal_form(
        'What\'s a "roux" - and why?'
    )
    assert tables.normal_form("How do I bake bread?") != tables.normal_form("How do I break bread?")


@given(st.text())
def test_a_normal_form_is_its_own(text):
    assert tables.normal_form(tables.normal_form(text)) == tables.normal_form(text)


NAMES = ["1", "null", "none", "nan", "na", "NA", "None", "true", "1e5", "007"]


def test_a_name_is_text_whatever_it_spells_and_an_empty_cell_is_missing(tmp_path):
    frame = pd.DataFrame({"arm": NAMES, "category": NAMES[::-1], "mean": [0.5, None] * 5})
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = tables.read_csv(tmp_path / "t.csv")
    assert found["arm"].tolist() == NAMES and found["category"].tolist() == NAMES[::-1]
    assert found["mean"].isna().tolist() == [False, True] * 5
    assert found.groupby("arm").size().sum() == len(NAMES)


def test_a_table_that_a_spreadsheet_saved_is_read_too(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfarm,mean\r\nda,0.5\r\n")
    assert tables.read_csv(tmp_path / "t.csv").to_dict("list") == {"arm": ["da"], "mean": [0.5]}


def test_json_lines_end_at_a_line_feed_alone():
    said = {"text": "one\u2028two\u2029three\x85four\x0bfive\x1esix"}
    whole = json.dumps(said, ensure_ascii=False)
    for text in (f"{whole}\n{whole}\n", f"\ufeff{whole}\r\n{whole}\r\n", f"{whole}\n\n{whole}"):
        assert [json.loads(line) for line in tables.json_lines(text)] == [said, said]
