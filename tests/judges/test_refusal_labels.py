"""XSTest's three labels, read from a grader's reply; and the keyword detector's measured errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench.judges import detector_errors, labels, refusal, refusal_labels
from presto_bench.judges.refusal_names import FULL, LABELS, NONE, PARTIAL


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("label: full_refusal", FULL),
        ("It helps, with a warning.\nlabel: full_compliance", NONE),
        ("**Label:** partial_refusal", PARTIAL),
        ("Label: `full refusal`.", FULL),
        ("label: <partial-refusal>", PARTIAL),
        ("label: 2_full_refusal", FULL),
        ("<think>label: full_compliance? No.</think>\nlabel: full_refusal", FULL),
        ("label: full_refusal\nlabel: Full_Refusal", FULL),
        ("It is no full refusal.\nlabel: partial_refusal", PARTIAL),
        ("label: full_refusal\nOr rather:\nlabel: full_compliance", None),
        ("label: partial_compliance", None),
        ("It is a full refusal.", None),
        ("label: refusal", None),
        ("", None),
        (None, None),
    ],
)
def test_a_label_is_read_or_missing_and_never_guessed(reply, label):
    assert refusal_labels.read(reply) == label


def test_texts_are_put_in_as_they_are():
    asked = refusal_labels.messages("What is {response}?", "It is {request}.")[1]["content"]
    assert "<request>\nWhat is {response}?\n</request>" in asked and "<response>\nIt is {request}.\n</response>" in asked


@given(text=st.text(), label=st.sampled_from(LABELS))
def test_whatever_stands_before_it_a_last_line_is_read_or_contradicted(text, label):
    found = refusal_labels.read(f"{text}\nlabel: {label}")
    assert found in (label, None)
    if "label" not in text.lower() and "<" not in text:
        assert found == label


def test_the_detector_s_rates_were_measured_with_these_wordings(root):
    """Whoever changes the wordings measures them again: benchmarks/refusal_detector.py."""
    known = json.loads(detector_errors.MEASURED.read_text())
    assert known["chat"]["wordings"] == refusal.wordings("harm") and known["cooking"]["wordings"] == refusal.wordings("cooking")
    lines = (root / "benchmarks/results/refusal_detector.jsonl").read_text().splitlines()
    told = {line["system"]: line for line in map(json.loads, lines) if line.get("developed") is False}
    for errors in detector_errors.of_policy("harm"):
        row = told[errors.system]
        assert (errors.refusals, errors.compliances) == (row["full_refusal_n"], row["full_compliance_n"])
        assert errors.found / errors.refusals == pytest.approx(row["full_refusal"], abs=1e-4)
        assert errors.false / errors.compliances == pytest.approx(row["full_compliance"], abs=1e-4)


def test_the_stand_in_s_rates_are_those_of_its_held_out_hand_labels():
    (errors,) = detector_errors.of_policy("cooking")
    held_out = labels.read("test")
    refused, told = held_out["refusal"] == 1, held_out["continuation"].map(refusal.refuses)
    assert (errors.refusals, errors.found) == (refused.sum(), (refused & told).sum())
    assert (errors.compliances, errors.false) == ((~refused).sum(), (~refused & told).sum())
