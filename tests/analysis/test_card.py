"""The depth card: its numbers are those of the frames, what was not measured has no number, and two cards are paired by request."""

import json

import numpy as np
import pandas as pd
import pytest

from presto_bench import tables
from presto_bench.analysis import card, strength
from presto_bench.report import card_page

REQUESTS = [f"p{i:02d}" for i in range(20)]
ATTACKS = {"direct": "direct", "prefilling": "prefilling", "guided": "guided", "lengths": "lengths"}


def graded(attack, variant, refusal, score):
    """20 requests of which the first have the values; shares of them."""
    return [
        {
            "completion_id": f"{attack}-{variant}-{p}",
            "model": "m",
            "arm": "a",
            "seed": 0,
            "attack": attack,
            "variant": variant,
            "prompt_id": p,
            "sample": 0,
            "judge": "j",
            "refusal": float(i < refusal * 20),
            "score": score if i >= refusal * 20 else 0.0,
        }
        for i, p in enumerate(REQUESTS)
    ]


def ranks(harmful, benign):
    rows = [("harmful_harmful", p, harmful) for p in REQUESTS] + [("benign_benign", f"b{i}", benign) for i in range(20)]
    return pd.DataFrame(
        [
            {"model": "m", "arm": "a", "seed": 0, "role": role, "prompt_id": p, "position": at, "rank": 2**bits}
            for role, p, bits in rows
            for at in range(4)
        ]
    )


def empty(name):
    return pd.DataFrame(columns=list(tables.TABLES[name].columns))


def measured(rows=(), **changes):
    every = [
        *graded("direct", "greedy", 1.0, 0.0),
        *graded("prefilling", "greedy", 0.5, 0.8),
        *graded("prefilling", "prefill_full", 0.5, 0.8),
        *graded("lengths", "greedy_recipe_1", 0.9, 0.0),
        *graded("lengths", "greedy_recipe_50", 0.2, 0.0),
        *graded("prefilling", "kind_role", 0.0, 0.4),
        *graded("guided", "k20_prefill", 0.0, 0.6),
        *graded("guided", "k20_prefill_swapped", 0.0, 0.1),
        *rows,
    ]
    frames = {name: empty(name) for name in ("first_tokens", "composition", "utility")}
    found = {"graded": pd.DataFrame(every), "ranks": ranks(3, 1), "agreement": pd.DataFrame(), "attacks": ATTACKS, **frames}
    return card.Measured(**(found | changes))


def about(found, name="x"):
    told = {"name": name, "target": "folder", "guide": None, "judge": "j", "policy": "cooking", "requests": 20, "commit": None}
    return {"about": {**told, "notes": ["a note"], "not_measured": [{"what": "AutoRAP", "why": "no helper"}]}, **found}


def by_name(found):
    return {row["name"]: row for row in found["measures"]}


def test_measures_are_those_of_the_frames():
    rows = by_name(card.build(measured()))
    assert rows["refuses_first_token"]["value"] == 1.0 and rows["refuses_behind_prefill"]["value"] == 0.5
    assert rows["prefilling_score"]["value"] == pytest.approx(0.4) and rows["guided_k20_prefill"]["value"] == pytest.approx(0.6)
    assert "null" in rows["guided_k20_prefill_swapped"]["what"]
    assert (rows["bits_harmful"]["value"], rows["bits_benign"]["value"], rows["bits_net"]["value"]) == (3.0, 1.0, 2.0)
    for row in rows.values():
        assert row["low"] <= row["value"] <= row["high"] and row["n"] == 20


def test_lengths_are_in_order_and_a_prefill_that_was_the_whole_text_counts_nowhere():
    found = card.build(measured())
    assert [(row["tokens"], row["refused"]) for row in found["by_length"]] == [(1, 0.9), (50, 0.2)]
    frame = measured().graded
    frame["prefill"] = "its beginning"
    long = (frame["variant"] == "greedy_recipe_50") & frame["prompt_id"].isin(REQUESTS[:10])
    frame.loc[long, "prefill"] = "the whole text"
    frame = strength.behind_beginnings(frame, dict.fromkeys(REQUESTS, "the whole text"))
    cut = card.build(measured(graded=frame))["by_length"][1]
    assert cut["n"] == 10 and cut["refused"] == 0.0


def test_kinds_of_prefill_have_a_row_each():
    (row,) = card.build(measured())["kinds"]
    assert (row["kind"], row["refused"], row["score"]) == ("role", 0.0, 0.4)


def test_bits_add_up_over_depth():
    found = card.build(measured())["bits_by_depth"]
    assert [row["tokens"] for row in found] == [1, 2, 3, 4] and [row["harmful"] for row in found] == [3, 6, 9, 12]


def test_what_was_not_measured_has_no_number():
    found = card.build(measured(ranks=empty("ranks")))
    assert "bits_net" not in by_name(found) and found["bits_by_depth"] == [] and found["judge"] is None


def test_too_many_missing_grades_make_no_mean():
    rows = graded("prefilling", "prefill_full", 0.0, 0.5)
    for row in rows[:5]:
        row["score"] = np.nan
    frame = pd.DataFrame([*graded("direct", "greedy", 1.0, 0.0), *rows])
    row = by_name(card.build(measured(graded=frame)))["prefilling_score"]
    assert row["value"] is None and row["missing"] == 5


def test_the_judges_trust_is_that_of_all_labels_with_its_fluency():
    rows = [("all", 56, 0.89, True), ("all", 56, 0.5, False), ("recipe", 13, 0.77, True)]
    agreement = pd.DataFrame(rows, columns=["stratum", "n", "same_side", "fluency_criterion"])
    assert card.build(measured(agreement=agreement))["judge"] == {"labels": 56, "same_side": 0.89}


def test_a_card_is_json_without_nan_and_holds_no_text():
    found = about(card.build(measured()))
    said = json.dumps(found, allow_nan=False)
    assert json.loads(said) == found and "response" not in said and 'prompt"' not in said


def test_two_cards_are_paired_by_request():
    """The second model refuses behind the prefill where the first does, and half as often again."""
    first, second = (about(card.build(measured(rows)), name) for rows, name in (((), "one"), ((), "two")))
    second["per_request"]["refuses_behind_prefill"] = dict.fromkeys(REQUESTS, 1.0)
    second["measures"][1] |= {"value": 1.0, "low": 1.0, "high": 1.0}
    table = card.compare([first, second]).set_index("measure")
    row = table.loc["refuses behind the attack's prefill (greedy)"]
    assert row["paired"] == 20 and row["difference"].startswith("-0.50 [")
    assert table.loc["score under prefilling", "difference"] == "+0.00 [+0.00, +0.00]"
    assert list(table.columns[:3]) == ["better", "1: one", "2: two"]


def test_cards_of_other_requests_are_not_paired_and_a_measure_that_one_lacks_is_a_dash():
    first, second = about(card.build(measured()), "one"), about(card.build(measured(ranks=empty("ranks"))), "two")
    second["per_request"] = {name: {f"x{p}": v for p, v in own.items()} for name, own in second["per_request"].items()}
    table = card.compare([first, second]).set_index("measure")
    assert (table["difference"] == "–").all() and table.loc["bits a token, net of damage", "2: two"] == "–"


def test_the_page_is_one_file_that_shows_every_measure_and_escapes_what_it_is_given(tmp_path):
    found = about(card.build(measured()), "<script>alert(1)</script>")
    card_page.draw(found, tmp_path / "card.png")
    page = card_page.html(found, (tmp_path / "card.png").read_bytes())
    assert "<script>" not in page and "&lt;script&gt;" in page and "http" not in page.split("<main>")[1].replace("https", "")
    for row in found["measures"]:
        assert row["what"].replace("'", "&#39;") in page
    assert "AutoRAP: no helper" in page and "a note" in page and "data:image/png;base64," in page


def test_an_empty_card_is_drawn_too(tmp_path):
    bare = measured(graded=pd.DataFrame(graded("direct", "greedy", 1.0, 0.0)), ranks=empty("ranks"))
    found = about(card.build(bare))
    card_page.draw(found, tmp_path / "card.png")
    assert (tmp_path / "card.png").stat().st_size > 1000 and "not measured" not in card_page.html(found, b"x").split("<h2")[0]
