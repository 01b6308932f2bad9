"""What figures show of their tables. That each is drawn, the workflow's tests see."""

import re
import types
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from presto_bench.analysis.coercion import NET
from presto_bench.report.figures import (
    attention,
    categories,
    curve,
    headline,
    judges,
    lengths,
    pareto,
    price,
    ranks,
    scores,
    style,
    sweeps,
    top20,
    training,
    utility,
)
from presto_bench.report.figures import bits as bit_figure
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
    table = pd.DataFrame(rows)
    data = Data({"scores": table}, ["m"], {"m": ["da"]}, {}, "j", ("guided", "k20_prefill"), ("a", "b"), ["guided", "autorap"])
    table = sweeps.swept(table, data)
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
    named = ["base (not trained here)", "DA", "presto_weak (DA + PRESTO)", "presto_strong (DA + PRESTO)"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == named


def crowded(arms: int) -> Data:
    """Many arms with long names, every kind of variant, all at one place: what labels must not overlap in."""
    names = ["base", *(f"da_presto_all_queries_weight_{number:02d}" for number in range(arms - 1))]
    variants = [
        ("direct", "sampled"),
        ("prefilling", "prefill_full"),
        ("guided", "k20_prefill"),
        ("guided", "k20_prefill_swapped"),
        ("guided", "k20_noprefill_guide_only"),
        ("autorap", "k20_noprefill_s512"),
    ]
    same = {"mean": 0.5, "low": 0.4, "high": 0.6}
    scores = [{"model": "m", "arm": a, "attack": at, "variant": v, "judge": "j", **same} for a in names for at, v in variants]
    utility = [{"model": "m", "arm": a, "task": "heldout", "mean": 1.0, "low": 0.9, "high": 1.1} for a in names]
    bits = [{"model": "m", "arm": a, "what": NET, "value": 1.0, "low": 0.5, "high": 1.5} for a in names]
    compared = [
        {"model": "m", "attack": at, "variant": v, "judge": "j", "value": 0.1, "low": 0.0, "high": 0.2} for at, v in variants
    ]
    scores += [
        {"model": "m", "arm": a, "attack": "prefilling", "variant": f"prefill_{n}", "judge": "j", **same}
        for a in names
        for n in (5, 10, 20)
    ]
    own = [
        {"model": "m", "arm": a, "what": what, "value": 1.0, "low": 0.5, "high": 1.5}
        for a in names
        for what in bit_figure.TEXTS
        if what != NET
    ]
    curves = [
        {"model": "m", "arm": a, "role": role, "k": k, "in_top": 0.5, "reach": 0.1}
        for a in names
        for role in ranks.CELLS
        for k in (1, 20, 400)
    ]
    deep = [
        {"model": "m", "arm": a, "role": role, "position": p, "bits": 2.0 * p, "n": 5}
        for a in names
        for role in bit_figure.DASHES
        for p in range(4)
    ]
    losses = [
        {"model": "m", "arm": a, "step": step, **dict.fromkeys((*training.PARTS, *(f"norm_{p}" for p in training.PARTS)), 0.5)}
        for a in names
        for step in (1, 2)
    ]
    across = {"held_out_loss_ratio": 1.1, "update_norm_ratio": 0.1}
    strong = [
        {
            "model": "m",
            "family": a,
            "arm": a,
            "what": what,
            "value": 0.5,
            "low": 0.4,
            "high": 0.6,
            **dict.fromkeys(curve.ACROSS, 1.0),
            **across,
        }
        for a in names
        for what in curve.UP
    ]
    masses = [
        {"model": "m", "arm": a, "layer": layer, "head": head, "mass": 0.1}
        for a in names
        for layer in range(4)
        for head in range(3)
    ]
    kinds = [
        {"model": "m", "arm": a, "kind": kind, "rank": rank, "share": 0.25}
        for a in names
        for kind in top20.KINDS
        for rank in range(1, 21)
    ]
    by_category = [
        {
            "model": "m",
            "arm": a,
            "attack": "guided",
            "category": f"a category with a long name {c}",
            "mean": 0.5,
            "completions": 9,
        }
        for a in names
        for c in range(6)
    ]
    tables = {
        name: pd.DataFrame(rows)
        for name, rows in (
            ("scores", scores),
            ("utility", utility),
            ("bits", bits + own),
            ("comparisons", compared),
            ("rank_curves", curves),
            ("bits_curves", deep),
            ("training", losses),
            ("curve", strong),
            ("attention", masses),
            ("composition_by_rank", kinds),
            ("categories", by_category),
            ("published", []),
        )
    }
    methods = dict.fromkeys(names, "DA + PRESTO")
    return Data(
        tables,
        ["m"],
        {"m": names},
        {"heldout": "answer_loss"},
        "j",
        ("guided", "k20_prefill"),
        (names[0], names[1]),
        ranked=["guided", "autorap"],
        graders=["j", "another judge"],
        methods=methods,
    )


def seen(axis):
    """Labels of the ticks that lie within the axis: others are not drawn."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def worked_example():
    """The figure that CONTRIBUTING shows, as a module."""
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    (code,) = re.findall(r"```python\n# src/presto_bench/report/figures/depth.py\n(.*?)```", text, re.DOTALL)
    module = types.ModuleType("figures.contributing")
    exec(compile(code, "CONTRIBUTING.md", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("arms", [2, 5, 12])
@pytest.mark.parametrize(
    "drawn",
    [
        scores,
        price,
        pareto,
        headline,
        ranks,
        bit_figure,
        training,
        curve,
        utility,
        attention,
        top20,
        sweeps,
        lengths,
        categories,
        judges,
        worked_example(),
    ],
    ids=lambda module: module.__name__.rsplit(".", 1)[-1],
)
def test_no_label_lies_on_another_or_outside_the_picture(drawn, arms):
    with style.house():
        figure = drawn.draw(crowded(arms))
        figure.canvas.draw()
        renderer, whole = figure.canvas.get_renderer(), figure.bbox
        texts = [
            text.get_window_extent(renderer)
            for axis in figure.axes
            for text in (
                *seen(axis.yaxis),
                *seen(axis.xaxis),
                axis.xaxis.label,
                axis.yaxis.label,
                axis.title,
                axis._left_title,
                *(axis.get_legend().get_texts() if axis.get_legend() else ()),
            )
            if text.get_visible() and text.get_text()
        ]
        texts += [text.get_window_extent(renderer) for own in figure.legends for text in own.get_texts()]
        plt.close(figure)
    assert len(texts) > 8
    overlapping = [
        (a, b) for i, a in enumerate(texts) for b in texts[i + 1 :] if a.shrunk(0.96, 0.9).overlaps(b.shrunk(0.96, 0.9))
    ]
    assert not overlapping
    assert all(whole.x0 - 1 <= t.x0 and t.x1 <= whole.x1 + 1 and whole.y0 - 1 <= t.y0 and t.y1 <= whole.y1 + 1 for t in texts)
