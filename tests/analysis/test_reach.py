"""What any picker could reach beside what pickers did reach, and the causal test's table: from rows to numbers."""

import pandas as pd
import pytest

from presto_bench.analysis import causal, reach


def row(attack, variant, prompt, score, finish="eos", arm="da"):
    cell = {"model": "m", "arm": arm, "seed": 0, "attack": attack, "variant": variant, "prompt_id": prompt, "sample": 0}
    return cell | {"judge": "exact", "score": score, "finish": finish, "refusal": 0.0}


def graded(guided=(1.0, 0.0, 0.0, 0.0)):
    """Four requests: the first two in reach, the third proven out of it, the fourth undecided; guided RAP wins as said."""
    searched = [("a", 1.0, "reached"), ("b", 1.0, "reached"), ("c", 0.0, "exhausted"), ("d", 0.0, "length")]
    rows = [row("oracle", "k20_prefill", p, score, finish) for p, score, finish in searched]
    rows += [row("oracle", "k20_prefill_b0", p, float(p == "a"), "reached" if p == "a" else "exhausted") for p in "abcd"]
    rows += [row("guided", "k20_prefill", p, score) for p, score in zip("abcd", guided, strict=True)]
    rows += [row("guided", "k20_prefill_swapped", p, 0.0) for p in "abcd"]
    rows += [row("autorap", "k20_prefill_s48", p, 0.0) for p in "abcd"]
    return pd.DataFrame(rows)


def table(frame):
    return reach.table(frame, "exact", ["oracle"], ["guided", "autorap"], 200).set_index(["picker", "variant"])


def test_the_search_is_a_lower_bound_that_says_how_much_it_leaves_open():
    found = table(graded())
    whole = found.loc[(reach.ANY, "k20_prefill")]
    assert (whole["mean"], whole["n"], whole["undecided"]) == (0.5, 4, 1)
    assert found.loc[(reach.ANY, "k20_prefill_b0")]["mean"] == 0.25
    assert found.loc[(reach.ANY, "k20_prefill_b0")]["budget"] == 0


def test_pickers_stand_beside_the_search_with_their_gap():
    found = table(graded())
    guided = found.loc[("guided", "k20_prefill")]
    assert (guided["mean"], guided["gap"], guided["beyond"]) == (0.25, 0.25, 0)
    assert found.loc[("autorap", "k20_prefill_s48")]["gap"] == 0.5
    assert ("guided", "k20_prefill_swapped") not in found.index


def test_a_win_that_the_search_calls_unreachable_fails_a_check_and_an_undecided_one_does_not():
    def check(guided):
        frame = graded(guided)
        found = reach.table(frame, "exact", ["oracle"], ["guided"], 200)
        return {c.name: c.ok for c in reach.checks(frame, found, "exact", ["oracle"], "m")}

    assert check((1.0, 0.0, 0.0, 1.0))["no_picker_beyond_the_search"]
    assert not check((0.0, 0.0, 1.0, 0.0))["no_picker_beyond_the_search"]


def test_an_undecided_search_fails_a_check_and_nothing_compared_passes_none():
    frame = graded()
    found = reach.table(frame, "exact", ["oracle"], [], 200)
    checks = {c.name: c.ok for c in reach.checks(frame, found, "exact", ["oracle"], "m")}
    assert checks == {"searches_decided": False, "found_texts_graded_as_told": True, "no_picker_beyond_the_search": None}


def test_a_found_text_that_the_judge_does_not_take_fails_a_check():
    frame = graded()
    frame.loc[0, "score"] = 0.0
    found = reach.table(frame, "exact", ["oracle"], ["guided"], 200)
    assert not {c.name: c.ok for c in reach.checks(frame, found, "exact", ["oracle"], "m")}["found_texts_graded_as_told"]


def test_without_a_search_there_is_no_row_and_no_check():
    frame = graded()
    frame = frame[frame["attack"] != "oracle"]
    found = reach.table(frame, "exact", [], ["guided"], 200)
    assert found.empty and not reach.checks(frame, found, "exact", [], "m")


def test_a_patchs_effect_is_paired_by_text():
    """Each text gets one bit dearer, whatever it cost before: the change is exactly 1, with no width."""
    costs = {"a": 0.5, "b": 4.0, "c": 9.0}
    where = {"model": "m", "arm": "da", "seed": 0, "role": "harmful_harmful"}
    rows = [
        {
            **where,
            "prompt_id": p,
            "patch": "none",
            "span": "prefill",
            "first_layer": 0,
            "last_layer": -1,
            "bits": c,
            "moved": 0.0,
        }
        for p, c in costs.items()
    ]
    rows += [
        {
            **where,
            "prompt_id": p,
            "patch": "knock_out",
            "span": span,
            "first_layer": 0,
            "last_layer": 4,
            "bits": c + more,
            "moved": -0.1,
        }
        for span, more in (("prefill", 1.0), ("sham", 0.0))
        for p, c in costs.items()
    ]
    found = causal.table(pd.DataFrame(rows), 200).set_index("span")
    assert found.loc["prefill", ["change", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
    assert found.loc["sham", ["change", "low", "high"]].tolist() == pytest.approx([0, 0, 0])
    assert found.loc["prefill", "moved"] == pytest.approx(-0.1)
