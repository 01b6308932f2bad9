"""Numbers as LaTeX macros."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench.report import macros


def test_by_hand():
    table = pd.DataFrame({"arm": ["da", "da_presto"], "k": [20, 5], "mean": [0.12345, np.nan], "n": [53, 53]})
    assert macros.lines({"scores": table}).splitlines() == [
        r"\newcommand{\PBScoresDaK}{20}",
        r"\newcommand{\PBScoresDaMean}{0.123}",
        r"\newcommand{\PBScoresDaN}{53}",
        r"\newcommand{\PBScoresDaPrestoK}{5}",
        r"\newcommand{\PBScoresDaPrestoMean}{--}",
        r"\newcommand{\PBScoresDaPrestoN}{53}",
    ]


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4))
def test_a_name_has_letters_alone_as_latex_wants_it(parts):
    assert re.fullmatch(r"[A-Za-z]+", macros.name(*parts))


def test_variants_that_differ_by_a_number_have_different_names():
    names = {
        macros.name("scores", "autorap", variant, "mean")
        for variant in ("k20_prefill_s64", "k20_prefill_s16", "k5_prefill_s64")
    }
    assert len(names) == 3


def test_two_numbers_of_one_name_are_an_error():
    with pytest.raises(ValueError, match="two numbers"):
        macros.lines({"t": pd.DataFrame({"arm": ["da", "da"], "x": [1.0, 2.0]})})
