"""AutoRAP's searches do what the definition says, step by step (docs/reference/attacks.md)."""

import hashlib
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presto_bench.attacks import moves
from presto_bench.attacks.autorap import search

VOCABULARY = 12
END = 0
TEXTS = ["<end>", "i", "a", " a", "b", " b", "c", "d", "e", "f", "g", "h"]  # two pairs say the same


def number(*key):
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "big")


class World:
    """A target and a helper made of hashes. share: of candidates that are harmful, in percent."""

    def __init__(self, seed, share, k):
        self.seed, self.share, self.k = seed, share, k
        self.ranked_calls, self.harmful_calls = [], []

    def rank(self, ids):
        return sorted(range(VOCABULARY), key=lambda t: number(self.seed, "rank", tuple(ids), t))[: self.k]

    def harmful(self, ids, token):
        return number(self.seed, "harm", tuple(ids), token) % 100 < self.share

    def run(self, generator):
        """Answer a search's questions, and keep book of them."""
        try:
            question = next(generator)
            while True:
                if isinstance(question, search.Ranked):
                    self.ranked_calls.append(question.ids)
                    question = generator.send(self.rank(question.ids))
                else:
                    self.harmful_calls.append((question.ids, question.token))
                    question = generator.send(self.harmful(question.ids, question.token))
        except StopIteration as end:
            return end.value


def text(token):
    return TEXTS[token]


def says_the_same(ids, token):
    return len(ids) >= 2 and text(ids[-1]).strip() == text(ids[-2]).strip() == text(token).strip()


def naive_reference(world, prefill, steps):
    """Every candidate labelled at every step, as the definition is written. -> (ids behind the prefill, steps, backtracks, lost)"""
    ids, generated, backtracked, backtracks = list(prefill), 0, None, 0
    for step in range(1, steps + 1):
        harm_tokens = [t for t in world.rank(ids) if world.harmful(ids, t)]
        if backtracked is not None and backtracked in harm_tokens:
            harm_tokens = harm_tokens[harm_tokens.index(backtracked) + 1 :]
        harm_tokens = [t for t in harm_tokens if not says_the_same(ids, t)]
        if harm_tokens:
            ids.append(harm_tokens[0])
            generated += 1
            backtracked = None
        else:
            backtracked = ids.pop()
            generated -= 1
            backtracks += 1
        if generated < 0:
            return (), step, backtracks, 1
    return tuple(ids[len(prefill) :]), steps, backtracks, 0


def naive_paper(world, prefill, steps):
    """Algorithm 1 of the paper, line by line: x_pre, x_sel, u_p, H. -> (x_sel, interactions used, backtracks)"""
    selected, taken_back, backtracks = [], None, 0
    for step in range(1, steps + 1):
        response = [*prefill, *selected]
        harmful = [u for u in world.rank(response) if world.harmful(response, u)]
        if taken_back is not None:
            harmful, taken_back = harmful[harmful.index(taken_back) + 1 :], None
        while harmful and text(harmful[0]) == text(response[-1]) == text(response[-2]):
            harmful = harmful[1:]
        if harmful:
            selected.append(harmful[0])
        else:
            taken_back, selected = response[-1], selected[:-1]
            backtracks += 1
        if not selected:
            return (), step, backtracks
    return tuple(selected), steps, backtracks


def naive_strict(world, prefill, steps, ends=frozenset({END})):
    """Depth-first, in rank order; every candidate labelled at every step. -> (ids, finish, steps, backtracks)"""
    ids, tried, backtracks = list(prefill), {}, 0
    for step in range(1, steps + 1):
        here = tried.setdefault(len(ids), set())
        open_tokens = [t for t in world.rank(ids) if t not in here and world.harmful(ids, t) and not says_the_same(ids, t)]
        if open_tokens and open_tokens[0] in ends:
            return tuple(ids[len(prefill) :]), "eos", step, backtracks
        if open_tokens:
            here.add(open_tokens[0])
            ids.append(open_tokens[0])
            tried[len(ids)] = set()
            continue
        if len(ids) == len(prefill):
            return (), "exhausted", step, backtracks
        ids.pop()
        backtracks += 1
    return tuple(ids[len(prefill) :]), "length", steps, backtracks


worlds = st.builds(World, st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 8))
prefills = st.lists(st.integers(2, VOCABULARY - 1), min_size=2, max_size=4)


@given(worlds, prefills, st.integers(1, 40))
@settings(max_examples=300)
def test_reference_is_the_definition(world, prefill, steps):
    found = world.run(search.reference(prefill, steps, text))
    assert (found.picked, found.steps, found.backtracks, found.lost) == naive_reference(world, prefill, steps)
    assert found.finish == ("exhausted" if found.lost else "length")


@given(worlds, prefills, st.integers(1, 40))
@settings(max_examples=300)
def test_paper_is_algorithm_1(world, prefill, steps):
    found = world.run(search.paper(prefill, steps, text))
    assert (found.picked, found.steps, found.backtracks) == naive_paper(world, prefill, steps)
    assert found.finish == ("length" if found.picked else "exhausted")
    assert found.lost == 0  # unlike the public code it never touches the prefill


@given(worlds, prefills, st.integers(1, 40))
@settings(max_examples=300)
def test_strict_is_the_definition(world, prefill, steps):
    found = world.run(search.strict(prefill, steps, text, {END}))
    assert (found.picked, found.finish, found.steps, found.backtracks) == naive_strict(world, prefill, steps)
    assert found.lost == 0


@pytest.mark.parametrize("mode", ["paper", "reference", "strict"])
@given(worlds, prefills)
@settings(max_examples=60)
def test_the_moves_tell_each_step_and_lead_to_what_was_picked(mode, world, prefill):
    found = world.run(started(mode, prefill))
    assert len(found.moves) == found.steps and sum(move.picked is None for move in found.moves) >= found.backtracks
    for move, place in zip(found.moves, moves.places(found.moves), strict=True):
        assert len(place) == move.depth
        assert all(world.harmful((*prefill, *place), token) == verdict for token, verdict in move.harmful.items())
        assert move.picked is None or move.harmful[move.picked]
    if found.finish == "length" and found.moves[-1].picked is not None:
        assert (*moves.places(found.moves)[-1], found.moves[-1].picked) == found.picked


def started(mode, prefill):
    made = {"paper": search.paper, "reference": search.reference}.get(mode, partial(search.strict, ends={END}))
    return made(prefill, 30, text)


@pytest.mark.parametrize("mode", ["paper", "reference", "strict"])
@given(worlds, prefills)
@settings(max_examples=60)
def test_nothing_is_asked_twice_while_it_stands(mode, world, prefill):
    """Coming back to a position costs no forward pass; a position that was left for another is asked anew."""
    found = world.run(started(mode, prefill))
    assert len(world.ranked_calls) <= found.steps - found.backtracks + 1
    stepped = [ids for i, ids in enumerate(world.ranked_calls) if i and len(ids) <= len(world.ranked_calls[i - 1])]
    assert len(stepped) <= found.backtracks


def test_strict_says_exhausted_where_no_candidate_is_harmful_and_keeps_the_prefill():
    found = World(1, 0, 8).run(search.strict([5, 6], 20, text, {END}))
    assert replace(found, moves=()) == search.Found((), "exhausted", 1, 0)


def test_the_reference_takes_a_prefill_token_back_and_says_so():
    found = World(1, 0, 8).run(search.reference([5, 6], 20, text))
    assert replace(found, moves=()) == search.Found((), "exhausted", 1, 1, lost=1)


def test_algorithm_1_ends_where_the_first_pick_is_taken_back_and_the_public_code_tries_the_next_one():
    class Once(World):
        """After the prefill 2 and 3 are harmful; behind 2 nothing is, behind 3 everything."""

        def rank(self, ids):
            return [2, 3, 4]

        def harmful(self, ids, token):
            return token in (2, 3) if len(ids) == 2 else 3 in ids

    assert replace(Once(1, 0, 3).run(search.paper([5, 6], 6, text)), moves=()) == search.Found((), "exhausted", 2, 1)
    assert Once(1, 0, 3).run(search.reference([5, 6], 6, text)).picked[0] == 3


def test_a_third_token_that_says_the_same_is_skipped():
    class Same(World):
        def rank(self, ids):
            return [3, 7]  # " a", "d"

    found = Same(1, 100, 2).run(search.strict([2, 3], 1, text, {END}))  # "a", " a"
    assert found.picked == (7,)
