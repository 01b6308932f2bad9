"""Moves: every place that they came by lies on a path, whatever was picked and taken back."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from presto_bench.attacks import moves
from presto_bench.attacks.moves import Move

END = 0


@st.composite
def walks(draw):
    """Moves of some attacker: picks, and steps back where there is something to take back."""
    depth, found = 0, []
    for token in draw(st.lists(st.one_of(st.none(), st.integers(1, 9)), max_size=20)):
        if token is None and depth == 0:
            continue
        found.append(Move(depth, token, {1: True} if token else {}))
        depth += 1 if token else -1
    return found


@given(walks())
def test_every_place_and_its_pick_lie_on_a_path(walk):
    paths = moves.paths(walk, END)
    for move, place in zip(walk, moves.places(walk), strict=True):
        told = (*place, END if move.picked is None else move.picked)
        assert any(path[: len(told)] == told for path in paths)
        assert len(place) == move.depth


@given(walks())
def test_the_last_place_with_its_pick_is_what_was_said(walk):
    said = []
    for move in walk:
        if move.picked is None:
            said.pop()
        else:
            said.append(move.picked)
    last = walk[-1] if walk else None
    place = moves.places(walk)[-1] if walk else ()
    assert tuple(said) == (place[:-1] if last and last.picked is None else (*place, *([last.picked] if last else [])))


@given(walks(), walks())
def test_what_is_written_is_read_back(first, second):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "search-a.jsonl"
        moves.write(path, "a", first)
        assert moves.read(path) == ({"a": first} if first else {}) and path.stat().st_mode & 0o077 == 0
        moves.write(Path(folder) / "search-b.jsonl", "b", second)
        whole = Path(folder) / "whole.jsonl"
        whole.write_text(path.read_text() + (Path(folder) / "search-b.jsonl").read_text())
        assert moves.read(whole) == {name: own for name, own in (("a", first), ("b", second)) if own}


def test_where_nothing_is_taken_back_the_moves_are_the_picks():
    assert moves.places(moves.straight([5, 6])) == [(), (5,)] and moves.read(Path("nowhere")) == {}
