"""Arms at the same price: which pairs are compared, and what one of them has over the other."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presto_bench.analysis import matching
from presto_bench.analysis.depth import BENIGN, HARMFUL

PAIRS = [("da", "da_presto"), ("da_heavy", "da_presto")]
PRICES = {"da": 1.0, "da_heavy": 1.3, "da_presto": 1.4}
SCORES = {"da": 0.5, "da_heavy": 0.3, "da_presto": 0.2}


def priced(losses, spread=0.0, items=20, task="heldout"):
    """Every item of the held-out answers loses what its arm loses, give or take what all arms find hard in it alike."""
    hard = np.random.default_rng(0).uniform(1 - spread, 1 + spread, items)
    fixed = {"model": "m", "seed": 0, "task": task, "category": "all"}
    rows = [
        fixed | {"arm": arm, "prompt_id": f"h{i}", "value": loss * hard[i], "weight": 10.0 + i}
        for arm, loss in losses.items()
        for i in range(items)
    ]
    return pd.DataFrame(rows)


def graded(scores=SCORES, requests=20):
    """Every request scores what its arm scores."""
    fixed = {"model": "m", "seed": 0, "attack": "guided", "variant": "k20", "judge": "j"}
    rows = [fixed | {"arm": a, "prompt_id": f"p{i}", "score": score} for a, score in scores.items() for i in range(requests)]
    return pd.DataFrame(rows)


def ranked(bits):
    """Texts of 5 tokens, whose tokens have a rank of 2^b each; bits: arm -> (of harmful text, of benign text)."""
    rows = [
        {"model": "m", "arm": arm, "seed": 0, "role": role, "prompt_id": f"{role}{i}", "position": j, "rank": 2**b}
        for arm, texts in bits.items()
        for role, b in zip((HARMFUL, BENIGN), texts, strict=True)
        for i in range(6)
        for j in range(5)
    ]
    return pd.DataFrame(rows)


BITS = {"da": (4, 1), "da_heavy": (5, 1), "da_presto": (9, 3)}


def test_only_arms_at_the_same_price_are_compared():
    found = matching.table(graded(), ranked(BITS), priced(PRICES), PAIRS, 100)
    assert set(map(tuple, found[["reference", "treated"]].to_numpy())) == {("da_heavy", "da_presto")}
    assert found["loss_ratio"].to_numpy() == pytest.approx(1.4 / 1.3)
    assert found.set_index("endpoint")["value"].to_dict() == {"score": pytest.approx(0.1), "net_bits": pytest.approx(2.0)}


@pytest.mark.parametrize("prices", [PRICES | {"da_heavy": 1.1}, {"da": 1.0, "da_presto": float("nan")}, {"da": 1.0}])
def test_without_a_pair_at_the_same_price_nothing_is_compared(prices):
    assert matching.table(graded(), ranked(BITS), priced(prices), PAIRS, 100).empty


def test_an_arm_whose_texts_were_not_measured_has_scores_alone():
    found = matching.table(graded(), ranked({"da_presto": (9, 3)}), priced(PRICES), PAIRS, 100)
    assert found["endpoint"].tolist() == ["score"]


def noisy(values, seeds=3, requests=12):
    """Of two models, ranks whose bits scatter by request; values: model -> arm -> net bits. A seed adds 1 bit to both of its texts."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"model": m, "arm": arm, "seed": seed, "role": role, "prompt_id": f"{role}{i}", "position": 0, "rank": 2.0**bits}
            for m, arms in values.items()
            for arm, net in arms.items()
            for seed in range(seeds)
            for role, own in ((HARMFUL, net + 1), (BENIGN, 1))
            for i in range(requests)
            for bits in [own + seed + rng.uniform(0, 0.5)]
        ]
    )


def test_each_model_has_its_own_bits_with_an_interval_over_requests_and_seeds():
    nets = {"m": {"da": 3, "da_presto": 5}, "n": {"da": 3, "da_presto": 4}}
    prices = pd.concat([priced({"da": 1.0, "da_presto": 1.05}).assign(model=model) for model in nets])
    found = matching.table(graded().iloc[:0], noisy(nets), prices, [("da", "da_presto")], 300).set_index("model")
    for model, gained in {"m": 2, "n": 1}.items():
        row = found.loc[model]
        assert row["low"] < row["value"] < row["high"] and row["high"] - row["low"] < 1
        assert row["value"] == pytest.approx(gained, abs=0.3)
        assert (row["n"], row["p_seeds"]) == (12, 0.25)  # three seeds of one sign


def test_losses_of_two_tasks_are_no_price():
    prices = priced(PRICES | {"da_heavy": float("nan")})
    assert matching.same_price(pd.concat([prices, priced({"da_heavy": 1.3}, task="other")]), PAIRS, 10) == []


def test_each_model_has_the_first_task_that_is_its_own_as_its_price():
    """Two models whose tasks have different names."""
    losses = {"da": 1.0, "da_presto": 1.05}
    prices = pd.concat([priced(losses), priced(losses, task="other").assign(model="n")])
    assert [pair.model for pair in matching.same_price(prices, [("da", "da_presto")], 10)] == ["m", "n"]


def test_the_price_has_an_interval_of_its_own_and_what_is_hard_for_both_arms_does_not_widen_it():
    """Items scatter by half; every item costs the second arm 5 % more. Where one arm's items scatter by themselves, the ratio is uncertain."""
    losses = priced({"da": 1.0, "da_presto": 1.05}, spread=0.5)
    (pair,) = matching.same_price(losses, [("da", "da_presto")], 300)
    assert (pair.loss_ratio, pair.loss_low, pair.loss_high) == pytest.approx((1.05, 1.05, 1.05))
    alone = losses["arm"] == "da_presto"
    losses.loc[alone, "value"] = losses.loc[alone, "value"].to_numpy()[::-1]
    (pair,) = matching.same_price(losses.assign(weight=1.0), [("da", "da_presto")], 300)
    assert pair.loss_low < 1 < pair.loss_ratio < 1.1 < pair.loss_high


@given(st.floats(0.5, 3), st.floats(0.5, 3))
@settings(max_examples=30)
def test_prices_are_compared_as_ratios_whichever_arm_costs_more(first, second):
    one, other = (
        matching.same_price(priced({"da": a, "da_presto": b}), [("da", "da_presto")], 5)
        for a, b in ((first, second), (second, first))
    )
    assert bool(one) == bool(other) == bool(max(first, second) / min(first, second) <= matching.LOSS_MATCH)
    assert [pair.loss_ratio for pair in one] == pytest.approx([1 / pair.loss_ratio for pair in other])
    assert [pair.loss_low for pair in one] == pytest.approx([1 / pair.loss_high for pair in other])
