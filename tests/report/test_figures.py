"""What figures show of their tables. That each is drawn, the workflow's tests see."""

import pandas as pd

from presto_bench.analysis.coercion import NET
from presto_bench.report.figures import price, sweeps
from presto_bench.report.figures.data import Data


def test_the_sweeps_figure_reads_k_and_steps_from_the_variants():
    rows = [
        {"model": "m", "arm": "da", "attack": attack, "variant": variant, "judge": "j", "mean": 0.5, "low": 0.4, "high": 0.6}
        for attack, variant in [
            ("guided", "k20_prefill"),
            ("guided", "k20_prefill_swapped"),
            ("guided", "k5_noprefill"),
            ("autorap", "k20_prefill_s64"),
            ("autorap", "k20_prefill_s16"),
            ("autorap", "k5_prefill_s64"),
            ("direct", "sampled"),
        ]
    ]
    scores = pd.DataFrame(rows)
    data = Data({"scores": scores}, ["m"], {"m": ["da"]}, {}, "j", ("guided", "k20_prefill"), ("a", "b"), ["guided", "autorap"])
    table = sweeps.swept(scores, data)
    found = set(zip(table["attack"], table["k"], table["steps"], table["first_k"], strict=True))
    assert found == {("guided", 20, 0, 20), ("autorap", 20, 64, 20), ("autorap", 20, 16, 20), ("autorap", 5, 64, 20)}
    left, right = sweeps.draw(data).axes
    assert {tuple(line.get_xdata()) for line in left.lines if len(line.get_xdata())} >= {(20,), (5, 20)}
    assert (16, 64) in {tuple(line.get_xdata()) for line in right.lines}


def test_the_price_figure_has_a_point_for_every_arm_that_was_measured_and_a_colour_for_every_method():
    arms = ["base", "da", "presto_weak", "presto_strong", "unmeasured"]
    methods = {
        "base": "not trained here",
        "da": "DA",
        "presto_weak": "DA + PRESTO",
        "presto_strong": "DA + PRESTO",
        "unmeasured": "DA + KL",
    }
    places = {"base": (0.8, 0.1), "da": (0.9, 4.0), "presto_weak": (1.0, 6.0), "presto_strong": (1.2, 9.0)}
    utility = [{"model": "m", "arm": a, "task": "heldout", "mean": x, "low": x, "high": x} for a, (x, _) in places.items()]
    utility.append(
        {"model": "m", "arm": "unmeasured", "task": "heldout"} | dict.fromkeys(("mean", "low", "high"), float("nan"))
    )
    bits = [{"model": "m", "arm": a, "what": NET, "value": y, "low": y - 1, "high": y + 1} for a, (_, y) in places.items()]
    bits.append({"model": "m", "arm": "unmeasured", "what": NET, "value": 1.0, "low": 0.0, "high": 2.0})
    tables = {"utility": pd.DataFrame(utility), "bits": pd.DataFrame(bits)}
    data = Data(tables, ["m"], {"m": arms}, {"heldout": "answer_loss"}, "j", ("a", "v"), ("da", "presto_weak"), methods=methods)
    (axis,) = price.draw(data).axes
    points = {(c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]): c.lines[0].get_color() for c in axis.containers}
    assert set(points) == set(places.values())
    assert points[1.0, 6.0] == points[1.2, 9.0] and len(set(points.values())) == 3
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["not trained here", "DA", "DA + PRESTO"]
