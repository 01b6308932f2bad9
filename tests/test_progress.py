"""What a job tells of its progress: shares of the whole, from whatever part is at work."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench import progress


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    path = tmp_path / "results/x/progress/attack/m.json"
    progress.to(path)
    yield path
    progress.to(None)


def test_a_job_tells_how_much_of_it_is_done(file):
    progress.tell(16, 64, "steps")
    told = progress.read(file)
    assert (told.share, told.done, told.of, told.unit) == (0.25, 16, 64, "steps")


def test_a_part_is_told_as_a_share_of_the_whole(file):
    with progress.part(2, 4), progress.part(1, 2):
        progress.tell(5, 10, "tokens")
    assert progress.read(file).share == pytest.approx(0.5 + 0.25 * (0.5 + 0.5 * 0.5))
    progress.tell(1, 1, "jobs")
    assert progress.read(file).share == 1.0


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_parts_in_order_never_go_backwards(sizes):
    found = []

    def work(depth):
        if depth == len(sizes):
            found.append(progress._state.window)
            return
        for i in range(sizes[depth]):
            with progress.part(i, sizes[depth]):
                work(depth + 1)

    work(0)
    edges = [edge for window in found for edge in window]
    assert edges == pytest.approx(sorted(edges))
    assert (edges[0], edges[-1]) == pytest.approx((0.0, 1.0))


def test_nothing_is_told_where_nobody_asked(tmp_path):
    progress.to(None)
    progress.tell(1, 2, "steps")
    assert progress.VARIABLE not in os.environ


def test_a_disk_that_takes_nothing_ends_no_job(tmp_path):
    progress.to(tmp_path / "a file" / "x.json")
    (tmp_path / "a file").rmdir()
    (tmp_path / "a file").write_text("in the way")
    progress.tell(2, 2, "steps")
    progress.to(None)


def test_what_cannot_be_read_is_nothing(tmp_path):
    (tmp_path / "x.json").write_text('{"share": 0.5')
    assert progress.read(tmp_path / "x.json") is None
    assert progress.read(tmp_path / "absent.json") is None
