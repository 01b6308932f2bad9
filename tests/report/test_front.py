"""The report's first page: the three questions, answered with numbers, and what spoils them named before."""

import pandas as pd
from docutils.core import publish_doctree

from presto_bench.report import front


def cells(what, value):
    return {"model": "m", "arm": "da", "what": what, "value": value, "low": value - 0.1, "high": value + 0.1}


def top20(kind, share):
    return {"model": "m", "arm": "da", "kind": kind, "share": share, "low": share - 0.1, "high": share + 0.1}


def near(verdict, why=None):
    """A published value, and ours beside it where it was run."""
    ours = {"ours": 0.52, "low": 0.42, "high": 0.62} if verdict != "not run" else dict.fromkeys(("ours", "low", "high"))
    where = {
        "item": "table_7",
        "model": "org/model",
        "own_arm": "da",
        "measure": "score",
        "attack": "autorap",
        "setting": "k=20",
    }
    return {**where, "published": 0.539, **ours, "verdict": verdict, "why": why}


def pushed(weights, value):
    return {"model": "m", "arm": "da", "weights": weights, "value": value, "low": value - 0.1, "high": value + 0.1}


def frames(ok=True, reach=True):
    search = {"model": "m", "arm": "da", "start": "prefill", "k": 20, "budget": None, "low": 0.3, "high": 0.7}
    rows = [
        {**search, "picker": "any picker", "mean": 0.5, "undecided": 2},
        {**search, "picker": "guided", "mean": 0.25, "undecided": None},
    ]
    score = {
        "model": "m",
        "arm": "da",
        "attack": "guided",
        "variant": "k20_prefill",
        "judge": "exact",
        "mean": 0.25,
        "low": 0.1,
        "high": 0.4,
    }
    claim = {
        "model": "m",
        "says": "a claim {of ours}",
        "verdict": "refuted",
        "difference": 0.1,
        "low": 0.0,
        "high": 0.2,
        "bar": "< -0.05",
        "loss_ratio": 1.25,
        "at": "",
        "stated": "after",
        "why": "nothing is left to lower",
    }
    return {
        "checks": pd.DataFrame([{"model": "m", "name": "base_guided_score", "ok": ok}]),
        "bits": pd.DataFrame([cells("harmful_harmful", 4.0), cells("benign_benign", 0.5), cells("net_of_damage", 3.5)]),
        "reach": pd.DataFrame(rows) if reach else pd.DataFrame(),
        "composition": pd.DataFrame([top20("refusal", 0.75), top20("other", 0.25)]),
        "fidelity": pd.DataFrame([near("agrees"), near("not run"), near("not comparable", "graded by another")]),
        "push_forward": pd.DataFrame([pushed("inverse rank", 0.31), pushed("equal", 0.62)]),
        "scores": pd.DataFrame(
            [
                score,
                {**score, "variant": "k20_prefill_swapped", "mean": 0.8},
                {**score, "variant": "k20_noprefill", "mean": 0.3},
                {**score, "variant": "k20_noprefill_swapped", "mean": 0.66},
                {**score, "variant": "k5_noprefill", "mean": 0.9},
                {**score, "judge": "likelihood", "mean": 0.12},
            ]
        ),
        "verdicts": pd.DataFrame([claim]),
    }


def page(**how):
    return front.page(frames(**how), ["No difference shown."], ["guided"], "exact")


def test_depth_reach_scores_and_claims_stand_with_their_intervals():
    said = page()
    for shown in (
        "4.00 [3.90, 4.10]",
        "3.50 [3.40, 3.60]",
        "0.50 [0.30, 0.70] (+2 undecided)",
        "0.25 [0.10, 0.40]",
        "0.75 [0.65, 0.85]",
        "refuted",
    ):
        assert shown in said
    assert "refuted (nothing is left to lower)" in said and "stated after" in said and "1.25" in said
    assert "guided, from nothing" in said and "0.30 [0.10, 0.40]" in said
    assert not [other for other in ("0.90", "0.80", "0.66") if other in said]  # one variant a start, and no null


def test_it_is_valid_restructured_text_with_a_table_a_question():
    document = publish_doctree(page(), settings_overrides={"report_level": 2, "halt_level": 2})
    assert str(document).count("<table") == 7


def test_it_says_how_far_ranks_are_pushed_forward_by_each_weighting():
    assert "0.31 [0.21, 0.41]" in page() and "0.62 [0.52, 0.72]" in page() and "inverse rank" in page()


def test_what_was_run_of_the_papers_values_stands_first_and_the_rest_is_left_to_the_table():
    said = page()
    assert said.index("How far from the paper") < said.index("How deep")
    assert said.count("0.539") == 2 and "0.52 [0.42, 0.62]" in said and "not comparable (graded by another)" in said
    assert "not run" not in said


def test_a_check_that_fails_stands_before_the_numbers():
    said = page(ok=False)
    assert said.index("base_guided_score (m)") < said.index("How deep")
    assert "do not hold" not in page() and "not measured" not in page()
    assert "not measured: base_guided_score (m)" in page(ok=None)


def test_a_judge_that_misreads_an_arm_casts_doubt_on_that_arms_scores_alone():
    doubted = frames()
    doubted["checks"] = pd.DataFrame([{"model": "m", "name": "judge_agrees_on_base", "ok": False}])
    said = front.page(doubted, ["No difference shown."], ["guided"], "exact")
    assert "judge_agrees_on_base (m). Read no score of base as established." in said


def test_jobs_of_different_precisions_are_told_of_before_the_numbers():
    def said(precisions):
        return front.page(frames(), ["No difference shown."], ["guided"], "exact", precisions=precisions)

    mixed = said({"bfloat16": 1, "float32": 2})
    assert mixed.index("different precisions (bfloat16 in 1, float32 in 2") < mixed.index("How deep")
    assert "precisions" not in said({"float32": 3})


def test_where_nothing_was_searched_there_is_no_such_section():
    assert "any picker" not in page(reach=False)


def test_a_control_has_a_section_of_its_own_where_there_is_one():
    said = front.page(frames(), ["No difference shown."], ["guided"], "exact", "likelihood")
    assert "0.12 [0.10, 0.40]" in said and "untouched model say" in said
    assert "0.12" not in page() and "untouched model say" not in page()


def test_nothing_in_it_means_something_to_a_template_engine():
    assert "{" not in page() and "a claim (of ours)" in page()
