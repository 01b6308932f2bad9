"""Seconds a final token, over people."""

import pandas as pd
import pytest

from presto_bench.analysis import human_times


def test_each_persons_time_is_over_all_that_they_kept_and_the_mean_is_over_people():
    """One person 30 s for 10 tokens over two requests, another 50 s for 10; who kept nothing has no time a token."""
    rows = [
        ("m", "da", "h", "ann", "", 10.0, 4),
        ("m", "da", "h", "ann", "", 20.0, 6),
        ("m", "da", "h", "bob", "", 50.0, 10),
        ("m", "da", "h", "eve", "", 9.0, 0),
    ]
    sessions = pd.DataFrame(rows, columns=["model", "arm", "attack", "person", "level", "seconds", "tokens"])
    (found,) = human_times.table(sessions).to_dict("records")
    assert (found["mean"], found["n"]) == (4.0, 2)
    assert found["sd"] == pytest.approx(2**0.5)
    assert human_times.table(sessions.iloc[:0]).empty


def test_levels_stand_beside_everybody_where_a_study_told_them():
    rows = [
        ("m", "da", "h", "ann", "expert", 10.0, 10),
        ("m", "da", "h", "bob", "novice", 30.0, 10),
        ("m", "da", "h", "eve", "novice", 50.0, 10),
    ]
    sessions = pd.DataFrame(rows, columns=["model", "arm", "attack", "person", "level", "seconds", "tokens"])
    found = human_times.table(sessions).set_index("level")
    assert list(found.index) == ["all", "expert", "novice"]
    assert dict(found["mean"]) == {"all": 3.0, "expert": 1.0, "novice": 4.0} and dict(found["n"]) == {
        "all": 3,
        "expert": 1,
        "novice": 2,
    }
