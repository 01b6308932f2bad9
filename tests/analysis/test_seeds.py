"""Each training seed's own numbers."""

import pandas as pd
import pytest

from presto_bench.analysis import coercion, seeds
from presto_bench.analysis.depth import BENIGN, HARMFUL
from presto_bench.report.figures import seeds as figure
from presto_bench.report.figures.data import Data

BITS = {0: (4, 1), 1: (9, 2)}  # seed -> bits of each token of harmful and of benign text
LOSSES = {0: [(1.0, 10), (2.0, 30)], 1: [(3.0, 10), (None, 30)]}  # seed -> (value, weight) of each request


def ranks():
    rows = [
        {"model": "m", "arm": "da", "seed": seed, "role": role, "prompt_id": f"p{i}", "position": j, "rank": 2**b}
        for seed, texts in BITS.items()
        for role, b in zip((HARMFUL, BENIGN), texts, strict=True)
        for i in range(3)
        for j in range(4)
    ]
    return pd.DataFrame(rows)


def utility():
    rows = [
        {"model": "m", "arm": "da", "seed": seed, "task": "heldout", "prompt_id": f"b{i}", "value": value, "weight": weight}
        for seed, pairs in LOSSES.items()
        for i, (value, weight) in enumerate(pairs)
    ]
    return pd.DataFrame(rows)


def graded():
    rows = [(0, "p0", 0.5), (0, "p1", 0.0), (1, "p0", 1.0), (1, "p1", float("nan"))]
    fixed = {"model": "m", "arm": "da", "attack": "guided", "variant": "k20"}
    return pd.DataFrame([fixed | {"seed": s, "prompt_id": p, "score": score} for s, p, score in rows])


def found():
    table = seeds.table(graded(), ranks(), utility())
    return table.pivot(index="what", columns="seed", values="value")


def test_each_seed_has_its_own_means():
    values = found()
    assert values.loc[coercion.NET].to_dict() == {0: 3.0, 1: 7.0}
    assert values.loc["heldout"].to_dict() == {
        0: pytest.approx(1.75),
        1: pytest.approx(3.0),
    }  # weighted; what is missing weighs nothing
    assert values.loc["guided/k20"].to_dict() == {0: 0.25, 1: 1.0}


def test_seeds_average_to_the_arms_own_number():
    table = coercion.table(ranks(), 50).set_index("what")["value"]
    for what in (HARMFUL, BENIGN, coercion.NET):
        assert found().loc[what].mean() == pytest.approx(table[what])


def test_an_experiment_that_measured_nothing_has_an_empty_table():
    empty = seeds.table(graded().iloc[:0], ranks().iloc[:0], utility().iloc[:0])
    assert empty.empty and list(empty.columns) == seeds.COLUMNS


def test_the_figure_has_a_point_a_seed():
    table = seeds.table(graded(), ranks(), utility())
    data = Data({"seeds": table}, ["m"], {"m": ["da"]}, {"heldout": "answer_loss"}, "j", ("guided", "k20"), ("da", "da_presto"))
    (axis,) = figure.draw(data).axes
    (line,) = axis.lines
    assert sorted(zip(line.get_xdata(), line.get_ydata(), strict=True)) == [(pytest.approx(1.75), 3.0), (3.0, 7.0)]
