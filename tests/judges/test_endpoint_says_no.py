"""An endpoint that says no: its reason is sorted once, reaches the user in the endpoint's words, and nothing is bought twice."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_judges_online import items, judge, right

from endpoint import Endpoint
from presto_bench.errors import UserError
from presto_bench.judges import batches
from presto_bench.judges.base import Grade
from presto_bench.judges.replies import ReplyStore
from presto_bench.stages.grade import _require_some


@pytest.fixture(scope="module")
def endpoint():
    running = Endpoint()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def calm(endpoint):
    endpoint.script()
    endpoint.next_batches()


def calls(endpoint):
    return endpoint.stats()["calls"]


def test_a_refused_parameter_stops_at_the_first_and_names_its_key(endpoint, tmp_path):
    """60 questions cost 60 calls and 60 errors, and the job succeeded."""
    strict = judge(endpoint, tmp_path, concurrency=4, request={"temperature": 0})
    strict.config = strict.config.model_copy(update={"model": "plain"})
    from presto_bench.judges import online

    strict.ask = online.ask(strict.config, strict.store)
    with pytest.raises(UserError, match=r"judges\.j\.request\.temperature.*\n?.*does not support 0 with this model"):
        strict.grade(items(60))
    assert calls(endpoint) <= 4


def test_a_setting_that_the_config_does_not_name_stops_too(endpoint, tmp_path):
    endpoint.script(*["error of a setting"] * 50)
    with pytest.raises(UserError, match=r"judges\.j\.request.*Unrecognized request argument"):
        judge(endpoint, tmp_path, concurrency=2).grade(items(60))
    assert calls(endpoint) <= 2


def test_requests_that_are_all_refused_alike_are_not_the_texts_fault(endpoint, tmp_path):
    endpoint.script(*["400 alike"] * 60)
    with pytest.raises(UserError, match="takes no such requests"):
        judge(endpoint, tmp_path, concurrency=2).grade(items(60))
    assert calls(endpoint) <= 10


def test_an_error_in_a_reply_with_status_200_is_waited_for_and_is_no_reply(endpoint, tmp_path):
    endpoint.script(*["error in 200"] * 3)
    grades = judge(endpoint, tmp_path, concurrency=1).grade(items(4))
    assert [g.status for g in grades] == ["ok"] * 4
    assert ReplyStore(tmp_path).spent("j")[0] == 4, "an error costs nothing"


def test_an_endpoint_that_asks_for_hours_is_left_alone_and_says_so(endpoint, tmp_path):
    endpoint.script("well", "429 for hours", "429 for hours")
    with pytest.raises(UserError, match=r"longest_wait.*asks to wait 2\.0 hours.*Daily limit reached") as error:
        judge(endpoint, tmp_path, concurrency=1).grade(items(5))
    assert "replies so far are kept" in error.value.mend
    endpoint.script()
    assert all(g.status == "ok" for g in judge(endpoint, tmp_path).grade(items(5)))
    assert calls(endpoint) == 4, "the first one's reply was kept"


def test_a_wait_that_the_config_allows_is_waited(endpoint, tmp_path):
    endpoint.script("429 with Retry-After")
    with pytest.raises(UserError, match="longest_wait"):
        judge(endpoint, tmp_path / "short", longest_wait=0.5).grade(items(1))
    endpoint.script("429 with Retry-After")
    assert judge(endpoint, tmp_path / "long", longest_wait=5).grade(items(1))[0].status == "ok"


def test_a_batch_over_its_token_limit_waits_and_comes_again_in_halves(endpoint, tmp_path):
    """Six resubmissions of the same batch went out in 1.2 s, and nobody read why."""
    endpoint.next_batches(fits=5)
    before = endpoint.stats()["batches"]
    grades = judge(endpoint, tmp_path, batches, poll=0.05).grade(items(20))
    assert [g.status for g in grades] == ["ok"] * 20
    assert endpoint.stats()["batches"] - before <= 1 + 2 + 4 + 8


def test_a_batch_that_can_never_fit_is_given_up_with_the_endpoint_s_words(endpoint, tmp_path):
    endpoint.next_batches(fits=0)
    grades = judge(endpoint, tmp_path, batches, poll=0.01, retries=2).grade(items(2))
    assert all(g.status == "error" and "Enqueued token limit reached" in g.reason for g in grades)


def test_a_batch_that_is_refused_for_its_settings_stops_with_the_key(endpoint, tmp_path):
    endpoint.next_batches(error={"code": "model_not_found", "param": "model", "message": "The model grader does not exist."})
    with pytest.raises(UserError, match=r"judges\.j\.model.*does not exist"):
        judge(endpoint, tmp_path, batches).grade(items(3))


def test_a_line_separator_in_a_batch_s_reply_is_no_line_end(endpoint, tmp_path):
    """Such a reply was unreadable, and was bought again."""
    asked = items(3)
    grades = judge(endpoint, tmp_path, batches).grade(asked)
    assert [(g.refusal, g.convincingness, g.specificity, g.score) for g in grades] == [right(i) for i in asked]
    assert calls(endpoint) == 3
    kept = ReplyStore(tmp_path)
    assert all("\u2028" in reply.text for path in tmp_path.glob("??/*.json") for reply in kept.get(path.stem))


def test_a_job_none_of_whose_items_was_graded_has_failed():
    def grade(status, reason="the reply is empty (reply ab12)"):
        return Grade("id", status, None, None, None, None, reason)

    with pytest.raises(UserError, match=r"judges\.j: none of 3 completions was graded; 2 times: no reply: HTTP 500"):
        _require_some("j", [grade("missing"), *[grade("error", "no reply: HTTP 500 (reply ab12)")] * 2])
    _require_some("j", [grade("error"), grade("ok")])
    _require_some("j", [grade("missing")] * 3)  # replies came: how many cannot be read stands in every table
    _require_some("j", [])


PASSING = ("well", "429", "500", "503", "truncated JSON", "reset", "a page", "a list", "error in 200")
WASTED = ("empty choices", "refuses to judge", "out of range", "null choice", "no text")
ENDING = ("429 for hours", "error of a setting")


@given(script=st.lists(st.sampled_from(PASSING + WASTED + ENDING), max_size=12), count=st.integers(1, 6))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_endpoint_does_every_item_is_graded_or_counted_and_none_is_bought_twice(
    endpoint, tmp_path_factory, script, count
):
    """Run again until the endpoint is calm: the verdict is right each time, and a reply that could be read is never asked for again."""
    folder, asked = tmp_path_factory.mktemp("replies"), items(count)
    endpoint.script(*script)
    stops = 0
    while True:
        quick = judge(endpoint, folder, concurrency=2, retries=1, attempts=2, longest_wait=5, timeout=5)
        try:
            grades = quick.grade(asked)
        except UserError as error:
            stops += 1
            assert "judges.j." in error.where and stops <= len(script)
            continue
        break
    assert [g.completion_id for g in grades] == [i.completion_id for i in asked]
    for grade, item in zip(grades, asked, strict=True):
        assert grade.status in ("ok", "missing", "error") and grade.reason
        assert (grade.status == "ok") == (grade.score is not None)
        if grade.status == "ok":
            assert (grade.refusal, grade.convincingness, grade.specificity, grade.score) == right(item)
    readable = sum(grade.status == "ok" for grade in grades)
    endpoint.script()
    judge(endpoint, folder, attempts=2).grade([item for item, grade in zip(asked, grades, strict=True) if grade.status == "ok"])
    assert calls(endpoint) == 0, f"{readable} replies were kept"
    assert stops <= sum(kind in ENDING for kind in script)


BATCHES = (
    {},
    {"looks": 3},
    {"ends": "expired", "answers": 0.5},
    {"ends": "cancelled", "answers": 0.0},
    {"ends": "expired", "answers": 1.0},
    {"fits": 1},
    {"error": {"code": "model_not_found", "param": "model", "message": "The model grader does not exist."}},
)


@given(script=st.lists(st.sampled_from(BATCHES), max_size=6), count=st.integers(1, 6), filtered=st.booleans())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_becomes_of_batches_every_item_is_graded_or_counted_and_none_is_bought_twice(
    endpoint, tmp_path_factory, script, count, filtered
):
    """Run again until the endpoint serves: what a batch answered is kept, what it left out is asked again, and a text that is refused is an error."""
    folder, asked = tmp_path_factory.mktemp("replies"), items(count)
    if filtered:
        asked[0] = replace(asked[0], response=f"{asked[0].response} FILTERED")
    endpoint.batches(*script)
    stops = 0
    while True:
        try:
            grades = judge(endpoint, folder, batches, poll=0.01, retries=8, longest_wait=0.05).grade(asked)
        except UserError as error:
            stops += 1
            assert error.where == "judges.j.model" and stops <= len(script)
            continue
        break
    assert [g.completion_id for g in grades] == [i.completion_id for i in asked]
    for grade, item in zip(grades, asked, strict=True):
        if "FILTERED" in item.response:
            assert grade.status == "error" and grade.score is None and "FILTERED" not in grade.reason
        else:
            assert (grade.refusal, grade.convincingness, grade.specificity, grade.score) == right(item)
    assert ReplyStore(folder).spent("j")[0] == len([g for g in grades if g.status == "ok"]), "each reply was paid for once"
    endpoint.batches()
    judge(endpoint, folder, batches, poll=0.01).grade([i for i in asked if "FILTERED" not in i.response])
    assert calls(endpoint) == 0, "what was answered is kept"
