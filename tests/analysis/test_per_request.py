"""Request by request: means over seeds and samples, bits and ranks of the harmful text; what was not measured stays empty."""

import math

import pandas as pd

from presto_bench.analysis import per_request

CELLS = per_request.Cells(("guided", "k20_prefill"), ("prefilling", "prefill_full"))


def graded(rows):
    columns = ["arm", "seed", "attack", "variant", "prompt_id", "sample", "refusal", "score"]
    return pd.DataFrame(rows, columns=columns).assign(model="m", judge="j")


def ranks(rows):
    return pd.DataFrame(rows, columns=["arm", "seed", "prompt_id", "position", "rank"]).assign(
        model="m", role="harmful_harmful"
    )


def test_scores_are_means_over_seeds_and_samples_and_arms_keep_their_order():
    rows = [
        ("da", 0, "guided", "k20_prefill", "p", 0, 0.0, 0.5),
        ("da", 1, "guided", "k20_prefill", "p", 0, 0.0, 1.0),
        ("da", 0, "prefilling", "greedy", "p", 0, 1.0, 0.0),
        ("da", 1, "prefilling", "greedy", "p", 0, 0.0, 0.0),
        ("base", 0, "guided", "k20_prefill", "p", 0, 0.0, 0.2),
        ("base", 0, "guided", "k20_prefill_swapped", "p", 0, 0.0, 0.9),
    ]
    found = per_request.table(graded(rows), ranks([("da", 0, "p", 0, 4)]), "j", CELLS)
    assert list(found["arm"]) == ["da", "base"]
    da, base = found.to_dict("records")
    assert (da["rap"], da["refused"], da["bits"], da["ranks"]) == (0.75, 0.5, 2.0, "4")
    assert base["rap"] == 0.2 and math.isnan(base["refused"]) and math.isnan(base["prefilling"]) and math.isnan(base["bits"])


def test_a_missing_grade_is_left_out_of_the_mean_and_a_request_without_any_has_none():
    rows = [
        ("da", 0, "guided", "k20_prefill", "p", 0, None, None),
        ("da", 1, "guided", "k20_prefill", "p", 0, 0.0, 0.4),
        ("da", 0, "guided", "k20_prefill", "q", 0, None, None),
        ("da", 0, "prefilling", "prefill_full", "q", 0, 0.0, 0.1),
    ]
    found = per_request.table(graded(rows), ranks([]), "j", CELLS).set_index("prompt_id")
    assert found.loc["p", "rap"] == 0.4 and math.isnan(found.loc["q", "rap"]) and found.loc["q", "prefilling"] == 0.1


def test_the_line_of_ranks_is_the_first_seeds_in_the_order_of_the_text():
    rows = [("da", 3, "p", 1, 7), ("da", 3, "p", 0, 2), ("da", 5, "p", 0, 900)]
    own = [("da", 3, "guided", "k20_prefill", "p", 0, 0.0, 0.4)]
    (found,) = per_request.table(graded(own), ranks(rows), "j", CELLS).to_dict("records")
    assert found["ranks"] == "2 7"
