"""The RAP oracle: exhaustive search agrees with brute force, bounds every picker, and says so when it does not know."""

import math
import random
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_model
from presto_bench.attacks import guided, oracle
from presto_bench.attacks.base import Request, Setting
from presto_bench.attacks.finishes import REACHED, UNDECIDED, UNREACHABLE
from presto_bench.attacks.oracle import Limits, Vocabulary, Walk, cheapest
from presto_bench.config import SamplingConfig
from presto_bench.config.attacks import Guided, Oracle
from presto_bench.errors import UserError
from presto_bench.lm import chat
from presto_bench.policies.accepted import Accepted

PIECES = ["a", "b", "ab", "ba", " ", "."]  # ids 0 to 5; 6 ends the response, 7 is special
END, SPECIAL = 6, 7
LONGEST = 4


def tiny_setting() -> Setting:
    tokenizer = tiny_model.tokenizer("llama")
    model = tiny_model.model("llama", len(tokenizer))
    ends = chat.end_of_turn(tokenizer, model)
    return Setting(
        model, tokenizer, chat.ChatFormat(), SamplingConfig(), ends, 1024, parent=tiny_model.model("llama", len(tokenizer))
    )


def text(ids) -> str:
    return "".join(PIECES[i] if i < len(PIECES) else "" for i in ids)


def offered(ranking, limits: Limits, walk) -> list[int]:
    """What a ranker hands out: its k best tokens that may be picked."""
    return [token for token in ranking(walk) if token != SPECIAL][: limits.k]


def search(ranking, accepted: Accepted, limits: Limits) -> Walk:
    asking = cheapest((), accepted, limits, Vocabulary(text, {END}))
    answer = None
    while True:
        try:
            asked = asking.send(answer)
        except StopIteration as end:
            return end.value
        answer = offered(ranking, limits, asked.ids)


def walks(ranking, limits: Limits, walk=(), lower=0, bits=0.0) -> Iterator[tuple[int, float, tuple[int, ...]]]:
    """Every walk of at most LONGEST tokens that keeps to the limits, whatever it says."""
    yield lower, bits, walk
    if len(walk) == LONGEST:
        return
    for rank, token in enumerate(offered(ranking, limits, walk), 1):
        if token != END and (limits.budget is None or lower + (rank > 1) <= limits.budget):
            yield from walks(ranking, limits, (*walk, token), lower + (rank > 1), bits + math.log2(rank))


def ranking_of(seed: int):
    """An arbitrary model: for each response an order of all tokens of its own."""

    @cache
    def ranking(ids):
        return random.Random(repr((seed, ids))).sample(range(8), 8)

    return ranking


@settings(max_examples=1000)
@given(
    seed=st.integers(0, 10**6),
    texts=st.lists(st.text("ab .", min_size=1, max_size=LONGEST), min_size=1, max_size=3),
    k=st.integers(1, 6),
    budget=st.none() | st.integers(0, 3),
)
def test_search_and_brute_force_agree_on_every_small_case(seed, texts, k, budget):
    # Every piece has a letter or more, so that no text of four letters takes more than four pieces.
    accepted, limits, ranking = Accepted(tuple(texts)), Limits(k, budget, LONGEST, 10_000), ranking_of(seed)
    expected = min(((w[0], w[1]) for w in walks(ranking, limits) if accepted.reached(text(w[2]))), default=None)
    found = search(ranking, accepted, limits)
    if expected is None:
        assert found.finish == UNREACHABLE
        return
    assert found.finish == REACHED
    assert (found.lower, pytest.approx(found.bits)) == expected
    assert accepted.reached(text(found.picked))


def test_a_text_counts_with_its_last_word_whole():
    accepted = Accepted(("It is Tarn",))
    assert accepted.reached("It is Tarn") and accepted.reached("It is Tarn.") and accepted.reached("It is Tarn and more")
    assert not accepted.reached("It is Tarnish") and not accepted.reached("So it is Tarn")


def test_a_search_that_spends_its_places_is_undecided_and_not_unreachable():
    def ranking(ids):
        return [0, 1, 2, 3, 4, 5, 6, 7] if len(ids) < 3 else [6, 7]

    accepted = Accepted(("aaaa",))
    assert search(ranking, accepted, Limits(8, None, 64, 2)).finish == UNDECIDED
    assert search(ranking, accepted, Limits(8, None, 64, 100)).finish == UNREACHABLE


def test_picking_the_end_of_the_turn_leads_nowhere():
    def ranking(ids):
        return [END] if ids else [END, 0, 1, 2, 3, 4, 5, 7]

    assert search(ranking, Accepted(("aa",)), Limits(8, None, 64, 100)).finish == UNREACHABLE


def test_no_picker_gets_beyond_the_search():
    """Guided RAP on a real tiny model: whatever it says, the search finds at no more picks."""
    setting = tiny_setting()
    requests = [Request(f"p{i}", f"Question {i}?", "Sure:", f"Other {i}?") for i in range(4)]
    picked = guided.run(Guided(name="g", kind="guided", max_steps=6, nulls=[]), "k20_prefill", requests, setting)
    said = {c.prompt_id: setting.tokenizer.decode(list(c.token_ids), skip_special_tokens=True) for c in picked}
    known = [Request(r.prompt_id, r.prompt, r.prefill, accepted=(said[r.prompt_id],)) for r in requests]
    found = oracle.run(Oracle(name="o", kind="oracle"), "k20_prefill", known, setting)
    assert all(said.values())
    assert [c.finish for c in found] == [REACHED] * 4
    assert [setting.tokenizer.decode(list(c.token_ids)) for c in found] == [said[r.prompt_id] for r in requests]


def test_more_picks_and_more_candidates_reach_no_less():
    setting = tiny_setting()
    requests = [Request(f"p{i}", f"Question {i}?", "", accepted=("a b", "the", "I can")) for i in range(4)]
    config = Oracle(name="o", kind="oracle", k=[5, 50, 100_000], prefill=["none"], budgets=[0, 1, 3])
    reached = {
        variant: {c.prompt_id for c in oracle.run(config, variant, requests, setting) if c.finish == REACHED}
        for variant in config.variants()
    }
    assert reached["k5_noprefill"] <= reached["k50_noprefill"] <= reached["k100000_noprefill"]
    assert len(reached["k100000_noprefill"]) == 4  # who may pick any token can say anything
    assert reached["k5_noprefill_b0"] <= reached["k5_noprefill_b1"] <= reached["k5_noprefill_b3"] <= reached["k5_noprefill"]


def test_a_policy_without_a_list_of_answers_is_refused():
    with pytest.raises(UserError, match="needs policy `facts`"):
        oracle.run(Oracle(name="o", kind="oracle"), "k20_prefill", [Request("p", "Question?", "")], tiny_setting())
