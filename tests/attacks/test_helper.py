"""AutoRAP's helper: what its lessons say, that they do not depend on chance, and that it learns them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_model
from presto_bench.attacks.autorap import helper, helper_training
from presto_bench.config import HelperConfig
from presto_bench.lm import models

HARMFUL = tuple(range(100, 160))
ENDS = [12, 30, 47]
REFUSALS = [tuple(range(10, 22)), tuple(range(30, 42))]


STRAYS = [helper.Stray(5, 900, False), helper.Stray(5, 901, True), helper.Stray(40, 902, False)]


def draw(i, end_share=0.0, stray_share=0.0, strays=()):
    return helper.lesson(helper.Subject(f"p{i}", HARMFUL, ENDS, REFUSALS, strays), end_share, stray_share, 0, 0)


@given(st.integers(0, 10**6))
@settings(max_examples=200)
def test_a_lesson_is_a_cut_response_and_harmful_unless_a_refusal_stands_behind_the_cut(i):
    lesson = draw(i)
    kept = next((n for n, (a, b) in enumerate(zip(lesson.response, HARMFUL, strict=False)) if a != b), len(lesson.response))
    suffix = lesson.response[kept:]
    assert lesson.harmful == (not suffix)
    assert lesson.kind == ("goes on" if lesson.harmful else "refuses")
    assert kept in ENDS or helper.SHORTEST <= kept <= helper.LONGEST
    assert not lesson.ends
    if suffix:
        assert 1 <= len(suffix) <= helper.SUFFIX
        assert any(suffix == refusal[: len(suffix)] for refusal in REFUSALS)


@given(st.integers(0, 10**6))
def test_the_end_of_the_turn_is_harmful_behind_a_whole_answer_and_safe_behind_a_cut_one(i):
    lesson = draw(i, end_share=1.0)
    assert lesson.ends
    assert lesson.harmful == (lesson.response == HARMFUL)
    assert lesson.response == HARMFUL[: len(lesson.response)]


@given(st.integers(0, 10**6))
def test_a_stray_stands_behind_the_depth_where_it_was_offered_and_says_what_it_is(i):
    lesson = draw(i, stray_share=1.0, strays=STRAYS)
    stray = next(s for s in STRAYS if s.token == lesson.response[-1])
    assert lesson.response == (*HARMFUL[: stray.depth], stray.token)
    assert (lesson.harmful, lesson.ends) == (stray.harmful, False)


def test_half_of_the_strays_go_on_where_the_target_offers_such():
    lessons = [draw(i, stray_share=1.0, strays=STRAYS) for i in range(2000)]
    assert abs(np.mean([lesson.harmful for lesson in lessons]) - 0.5) < 3 * 0.5 / 2000**0.5
    only_safe = [draw(i, stray_share=1.0, strays=STRAYS[::2]) for i in range(50)]
    assert not any(lesson.harmful for lesson in only_safe)


def test_shares_are_shares_of_all_lessons_and_a_request_without_strays_learns_the_rest():
    kinds = [draw(i, 0.2, 0.3, STRAYS).kind for i in range(2000)]
    assert abs(np.mean([kind in ("complete", "cut") for kind in kinds]) - 0.2) < 3 * (0.2 * 0.8 / 2000) ** 0.5
    assert abs(np.mean([kind in ("strays", "offered") for kind in kinds]) - 0.3) < 3 * (0.3 * 0.7 / 2000) ** 0.5
    assert {draw(i, 0.0, 1.0).kind for i in range(50)} == {"goes on", "refuses"}


def test_half_of_the_lessons_refuse_and_half_of_the_cuts_are_at_a_sentences_end():
    """2000 draws, within 3 standard errors; a cut anywhere falls on a sentence's end by chance 3 times in 50."""
    lessons = [draw(i) for i in range(2000)]
    error = 3 * 0.5 / 2000**0.5
    assert abs(np.mean([lesson.harmful for lesson in lessons]) - 0.5) < error
    whole = [len(lesson.response) for lesson in lessons if lesson.harmful]
    assert abs(np.mean([n in ENDS for n in whole]) - (0.5 + 0.5 * 3 / 50)) < error * 2**0.5


def test_a_draw_depends_on_seed_epoch_and_request_alone():
    subject = helper.Subject("p", HARMFUL, ENDS, REFUSALS, STRAYS)
    one = helper.lesson(subject, 0.1, 0.1, 3, 1)
    np.random.seed(0)
    torch.manual_seed(0)
    assert helper.lesson(subject, 0.1, 0.1, 3, 1) == one
    others = [helper.lesson(subject, 0.1, 0.1, 3, epoch) for epoch in range(2, 12)]
    assert any(other != one for other in others)


@given(st.integers(1, 40), st.integers(1, 30))
def test_drawn_options_are_some_of_the_candidates_each_once_and_the_same_again(n, wanted):
    candidates = list(range(100, 100 + n))
    drawn = helper.drawn_options(candidates, wanted, "p")
    assert len(drawn) == len(set(drawn)) == min(n, wanted) and set(drawn) <= set(candidates)
    assert drawn == helper.drawn_options(candidates, wanted, "p")
    assert n < 20 or wanted < 5 or drawn != helper.drawn_options(candidates, wanted, "q")


def test_punctuation_is_counted_in_tokens_in_any_script():
    assert helper.punctuation(["Mix", " it", ",", " then", "。", " fry", "—", " 2", "+", ") "]) == [3, 5, 7, 10]


def test_options_are_the_tokens_that_two_requests_share_most_widespread_first():
    top = {"a": [1, 2, 3, 4], "b": [2, 3, 9], "c": [3, 7, 2], "d": [4, 3]}
    assert list(helper.widespread(top).items()) == [(3, 4), (2, 3), (4, 2)]


def test_sentence_ends_are_counted_in_tokens():
    assert helper.sentence_ends(["Mix", " it", ".", " Then", " fry", "!", "\n"]) == [3, 6]


@pytest.fixture
def lessons():
    """A rule that a small model can learn: harmful unless the last token is one of a few."""
    rng = np.random.default_rng(0)
    rows = [[int(t) for t in rng.integers(20, 60, rng.integers(5, 12))] for _ in range(240)]
    for row in rows[::2]:
        row[-1] = int(rng.integers(4, 8))
    return rows, [row[-1] >= 20 for row in rows]


def trained(folder, rows, harmful, seed=0):
    torch.manual_seed(seed)
    model, tokenizer = models.load_helper(folder, "float32", new_head=True)
    config = HelperConfig(steps=40, batch_size=6, lr=3e-3, autocast=None)
    return helper_training.train(model, helper_training.Rows(rows, harmful), config, seed, tokenizer.eos_token_id).model


def test_it_learns_a_rule_and_the_same_seed_learns_the_same(tmp_path, lessons):
    rows, harmful = lessons
    folder = tiny_model.make(tmp_path / "model", "llama")
    one, other = (trained(folder, rows[:200], harmful[:200]) for _ in range(2))
    said = helper.probabilities(one, rows[200:], 1)
    assert np.mean((said > 0.5) == harmful[200:]) > 0.9
    assert np.array_equal(said, helper.probabilities(other, rows[200:], 1))


def test_a_probability_does_not_depend_on_the_batch(tmp_path, lessons):
    rows, _ = lessons
    model, _ = models.load_helper(tiny_model.make(tmp_path / "model", "llama"), "float32", new_head=True)
    together = helper.probabilities(model, rows[:9], 1)
    alone = [helper.probabilities(model, [row], 1)[0] for row in rows[:9]]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_validation_curve_is_the_loss_at_each_epochs_end(tmp_path, lessons, method):
    """Three epochs of five steps: what the last epoch's end says is what the finished model's own probabilities say."""
    rows, harmful = lessons
    model, tokenizer = models.load_helper(tiny_model.make(tmp_path / "model", "llama"), "float32", new_head=True)
    config = HelperConfig(epochs=3, batch_size=8, lr=3e-3, autocast=None, method=method)
    held_out = helper_training.Rows(rows[200:], harmful[200:])
    training = helper_training.Rows(rows[:120], harmful[:120])
    taught = helper_training.train(model, training, config, 0, tokenizer.eos_token_id, [held_out] * 3, 5)
    assert len(taught.losses) == 15 and all(np.isfinite(taught.losses))
    assert list(taught.validation) == [5, 10, 15]
    said = helper.probabilities(taught.model, held_out.ids, tokenizer.eos_token_id)
    by_hand = -np.mean([np.log(p if label else 1 - p) for p, label in zip(said, held_out.harmful, strict=True)])
    assert taught.validation[15] == pytest.approx(by_hand, rel=1e-4)
    assert taught.validation[15] < taught.validation[5]
