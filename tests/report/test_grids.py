"""The tables of docs/: that a number's sign, bounds and absence survive the way onto the page."""

import sys

import pytest


@pytest.fixture
def grids(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "docs"))
    import grids

    yield grids
    sys.modules.pop("grids")


def interval(mean):
    return {"mean": mean, "low": mean - 1, "high": mean + 1}


def test_a_pair_shows_its_gain_in_bits_and_nothing_of_its_scores(grids):
    pair = {
        "model": "m",
        "reference": "da",
        "treated": "presto_weak",
        "loss_ratio": 1.04,
        "loss_low": 1.01,
        "loss_high": 1.08,
        "value": 2.0,
        "low": 1.0,
        "high": 3.0,
    }
    lines = grids.matched([pair | {"endpoint": "net_bits"}, pair | {"endpoint": "score"}], "m")
    assert lines[2:] == ["| DA | presto_weak | 1.04 [1.01, 1.08] | +2.00 [+1.00, +3.00] |"]


def test_arms_stand_in_the_order_of_their_price_and_one_without_a_price_is_left_out(grids):
    heldout = {"dear": interval(2.0), "cheap": interval(1.5), "unmeasured": {"mean": None, "low": None, "high": None}}
    bits = [
        {"model": "m", "arm": arm, "what": what, "value": 4.0, "low": 3.0, "high": 5.0}
        for arm in heldout
        for what in ("harmful_harmful", "net_of_damage")
    ]
    summary = {
        "differences": {"m": {"guided": {"judge": "j"}}},
        "scores": {"m": {arm: {"guided": {"j": interval(0.5)}} for arm in heldout}},
        "utility": {"m": {arm: {"heldout": loss} for arm, loss in heldout.items()}},
    }
    lines = grids.by_price({"summary": summary, "bits": bits}, "m")
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| cheap", "| dear"]
    assert lines[2] == "| cheap | 1.50 [0.50, 2.50] | – | 4.00 [3.00, 5.00] | 4.00 [3.00, 5.00] | 0.50 [-0.50, 1.50] |"


def test_seeds_are_shown_with_their_range_what_an_arm_lacks_with_a_dash_and_what_no_arm_has_not_at_all(grids):
    rows = [{"model": "m", "arm": "da", "seed": s, "what": "heldout", "value": v} for s, v in enumerate((1.0, 2.0, 1.5))]
    header, _, *lines = grids.by_seed([*rows, {"model": "m", "arm": "base", "seed": 0, "what": "overrefusal", "value": 0}], "m")
    assert header.endswith("| seeds | held-out loss | benign requests refused |")
    assert lines == ["| DA | 3 | 1.50 (1.00 to 2.00) | – |", "| base (shallowly aligned) | 1 | – | 0.00 (0.00 to 0.00) |"]


def test_a_check_that_could_not_be_asked_is_not_shown_as_one_that_only_reports(grids):
    missing = {"value": None, "ok": None}
    checks = {"asked": missing | {"bar": ">= 0.3"}, "loss_ratio": missing | {"bar": "within 1.10 of base's (reported)"}}
    lines = grids.checks({"checks": {"m": checks}}, "m")[2:]
    assert [line.split(" | ")[-1] for line in lines] == ["not known |", "reported |"]
