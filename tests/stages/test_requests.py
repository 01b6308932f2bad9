"""Which requests an attack works on: a sample is the same for every arm, and a larger one holds the smaller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench.attacks.base import Request
from presto_bench.errors import UserError
from presto_bench.stages.requests import sample

REQUESTS = [Request(f"p{i:03d}", "Why?", "Sure") for i in range(40)]


@given(st.integers(1, 40), st.permutations(REQUESTS))
def test_a_sample_is_the_same_whatever_the_order_and_grows_by_adding(wanted, shuffled):
    found = sample(REQUESTS, wanted, "k")
    assert len(found) == wanted and found == sorted(found, key=REQUESTS.index)
    assert {r.prompt_id for r in sample(shuffled, wanted, "k")} == {r.prompt_id for r in found}
    assert wanted == 1 or {r.prompt_id for r in sample(REQUESTS, wanted - 1, "k")} < {r.prompt_id for r in found}


def test_more_than_there_are_is_refused_by_key():
    with pytest.raises(UserError, match=r"attacks\.autorap\.requests: 41 requests, of 40"):
        sample(REQUESTS, 41, "attacks.autorap.requests")
