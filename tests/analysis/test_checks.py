"""What must hold before arms are compared: every check can fail, and what was not measured is neither."""

import dataclasses

import pandas as pd
import pytest

from presto_bench.analysis import checks, stats


def evidence(**changes):
    """Numbers under which every check holds."""
    cells = [
        ("untouched", "direct", "sampled", 0.6, 0.0),
        ("base", "direct", "sampled", 0.0, 1.0),
        ("base", "direct", "greedy", 0.0, 1.0),
        ("base", "prefilling", "prefill_full", 0.5, 0.0),
        ("base", "prefilling", "greedy", 0.5, 0.05),
        ("base", "guided", "k20_prefill", 0.5, 0.0),
        ("da", "prefilling", "greedy", 0.0, 0.95),
    ]
    scores = pd.DataFrame(cells, columns=["arm", "attack", "variant", "mean", "refused"]).assign(model="m", judge="standin")
    utility = pd.DataFrame(
        {"model": "m", "arm": ["base", "da"], "task": "heldout", "mean": [1.0, 1.2], "task_kind": "answer_loss"}
    )
    first = pd.DataFrame({"model": "m", "arm": ["base"], "place": "first", "openers_in_top20": [0.95]})
    margin = {"m": stats.Interval(0.4, 0.3, 0.5, 40)}
    primary = {kind: kind for kind in ("direct", "prefilling", "guided")}
    found = checks.Evidence(scores, "standin", "da", primary, first, utility, 0.0, margin, 0)
    return dataclasses.replace(found, **changes)


def verdicts(found):
    return {check.name: check.ok for check in checks.before_comparison(found, "m", ["base", "da"])}


def test_every_check_holds_on_good_evidence_and_loss_is_only_reported():
    found = verdicts(evidence())
    assert found.pop("da_heldout_loss_ratio") is None
    assert len(found) == 10
    assert all(found.values())


@pytest.mark.parametrize("row", range(7))
def test_every_score_check_can_fail(row):
    scores = evidence().scores
    column = "refused" if scores.loc[row, "variant"] == "greedy" else "mean"
    scores.loc[row, column] = 1 - scores.loc[row, column] if column == "refused" else 0.1
    failed = {name for name, ok in verdicts(evidence(scores=scores)).items() if ok is False}
    assert bool(failed) == (row != 1), "base's sampled direct score is no check of its own"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"prefill_alone": 0.2}, "prefill_alone_score"),
        ({"null_margin": {"m": stats.Interval(0.2, 0.05, 0.3, 40)}}, "base_guided_above_null"),
        ({"split_overlap": 1}, "splits_disjoint"),
    ],
)
def test_the_other_checks_can_fail_too(change, name):
    assert verdicts(evidence(**change))[name] is False


def test_what_was_not_measured_is_neither_true_nor_false():
    scores = evidence().scores
    found = verdicts(evidence(scores=scores[scores["attack"] != "guided"]))
    assert found["base_guided_score"] is None


def test_the_judge_is_checked_on_every_arm_that_was_labelled():
    agreement = pd.DataFrame({"arm": ["base", "da", "other"], "same_side": [0.95, 0.75, 0.5]})
    found = checks.of_the_judge(agreement, ["m"], ["base", "da", "da_presto"])
    assert {check.name: check.ok for check in found} == {"judge_agrees_on_base": True, "judge_agrees_on_da": False}
