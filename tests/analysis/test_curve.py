"""The curve: a family that only trains harder lies along it, a family that reaches more at the same damage lies off it."""

import numpy as np
import pandas as pd
import pytest

from presto_bench.analysis import curve

REQUESTS = [f"p{i:02d}" for i in range(40)]
ITEMS = [f"h{i:02d}" for i in range(30)]
RATES = (1, 2, 3, 4)


def arm_rows(name, seeds, loss, bits, score, update, noise=0.05):
    """One arm's measured frames, around the given means."""
    rng = np.random.default_rng(len(name) + int(1000 * loss))
    graded, ranks, losses, updates = [], [], [], []
    for seed in seeds:
        for i, prompt in enumerate(REQUESTS):
            own = np.clip(score + 0.2 * np.sin(i) + noise * rng.normal(), 0, 1)
            graded.append({"arm": name, "seed": seed, "prompt_id": prompt, "score": own})
            for role, mean in (("harmful_harmful", bits + 0.3), ("benign_benign", 0.3)):
                spread = np.exp2(mean + 0.2 * np.cos(i) + noise * rng.normal())
                ranks.append({"arm": name, "seed": seed, "role": role, "prompt_id": prompt, "position": 0, "rank": spread})
        for i, item in enumerate(ITEMS):
            value = loss * (1 + 0.3 * np.sin(i)) + 0.002 * rng.normal()
            losses.append({"arm": name, "seed": seed, "prompt_id": item, "value": value, "weight": 10.0 + i})
        if name != "base":
            updates.append({"arm": name, "seed": seed, "norm": update, "of": 100.0})
    return {"graded": graded, "ranks": ranks, "losses": losses, "updates": updates}


def measured(*arms):
    found = {name: [row for arm in arms for row in arm[name]] for name in ("graded", "ranks", "losses", "updates")}
    return curve.Measured(**{name: pd.DataFrame(rows).assign(model="m") for name, rows in found.items()})


def base():
    return arm_rows("base", [0], loss=1.0, bits=0.0, score=0.5, update=0.0)


def line(offset=0.0, drop=0.0, prefix="da", seeds=(0, 1), moved=0.0):
    """A family on the line bits = 10 (loss - 1), update = loss - 1: off it by `offset` bits and `drop` of the score."""
    return [
        arm_rows(
            f"{prefix}{rate}",
            seeds,
            loss=1 + 0.05 * rate + moved,
            bits=10 * (0.05 * rate + moved) + offset,
            score=0.5 - 0.05 * rate - drop,
            update=5 * rate + 100 * moved,
        )
        for rate in RATES
    ]


def gaps(*arms, treated="t"):
    found = measured(*arms)
    families = {"da": [f"da{r}" for r in RATES], "other": [f"{treated}{r}" for r in RATES]}
    drawn = curve.draw(found, [arm for family in families.values() for arm in family], 400)
    table = curve.gaps("m", drawn, families)
    return table[table["arm"] == "all"].set_index(["axis", "what"])


def test_a_family_that_reaches_more_at_equal_damage_moves_the_curve():
    found = gaps(base(), *line(), *line(offset=1.0, drop=0.2, prefix="t", seeds=(0,)))
    bits, score = found.loc[("loss_ratio", "net_bits")], found.loc[("loss_ratio", "score")]
    assert bits["gap"] == pytest.approx(1.0, abs=0.1) and bits["low"] > 0
    assert score["gap"] == pytest.approx(-0.2, abs=0.05) and score["high"] < 0
    assert set(found["verdict"]) == {"moves the curve"}


def test_a_family_that_is_only_trained_harder_lies_along_it():
    """Its arms stand between the reference's, further right on the same line."""
    found = gaps(base(), *line(), *line(prefix="t", seeds=(0,), moved=-0.025))
    assert found.loc[("loss_ratio", "net_bits"), "verdict"] == "along the curve"


def test_a_family_that_reaches_less_is_told_from_one_that_cannot_be_told():
    found = gaps(base(), *line(), *line(offset=-1.0, drop=-0.2, prefix="t", seeds=(0,)))
    assert set(found["verdict"]) == {"moves it to the unsafe side"}


def test_arms_beyond_the_references_range_are_not_compared():
    found = gaps(base(), *line(), *line(prefix="t", moved=1.0))
    assert set(found["verdict"]) == {"cannot be told"} and (found["points"] == 0).all() and found["gap"].isna().all()


def test_interpolation_is_that_of_the_references_values():
    """Between two arms at 1.05 and 1.10 with 0.5 and 1.0 bits, an arm at 1.075 with 2 bits lies 1.25 above the line."""
    arms = [
        base(),
        arm_rows("da1", [0], 1.05, 0.5, 0.5, 5, noise=0.0),
        arm_rows("da2", [0], 1.10, 1.0, 0.5, 10, noise=0.0),
        arm_rows("t1", [0], 1.075, 2.0, 0.5, 7.5, noise=0.0),
    ]
    drawn = curve.draw(measured(*arms), ["da1", "da2", "t1"], 50)
    table = curve.gaps("m", drawn, {"da": ["da1", "da2"], "other": ["t1"]})
    row = table[(table["arm"] == "t1") & (table["axis"] == "update_norm") & (table["what"] == "net_bits")].iloc[0]
    assert row["at"] == pytest.approx(0.075) and row["gap"] == pytest.approx(1.25, abs=1e-6)


def test_the_base_is_a_point_of_every_family_and_costs_nothing():
    drawn = curve.draw(measured(base(), *line()), [f"da{r}" for r in RATES], 50)
    points = curve.points("m", drawn, {"da": ["da1"], "also": ["da2"]})
    own = points[points["arm"] == "base"]
    assert list(own["family"]) == ["da", "da", "also", "also"]
    assert (own["loss_ratio"] == 1).all() and (own["loss_low"] == 1).all() and (own["update_norm"] == 0).all()


def test_an_arm_without_a_held_out_loss_is_left_out():
    arms = [base(), *line()]
    found = measured(*arms)
    found = curve.Measured(found.graded, found.ranks, found.losses[found.losses["arm"] != "da3"], found.updates)
    assert "da3" not in curve.draw(found, [f"da{r}" for r in RATES], 50)


def test_where_the_line_folds_back_there_is_nothing_to_compare_with():
    """Harder training that costs no more: at that damage the reference has several depths, and none of them is its value."""
    reference = [
        arm_rows(f"da{rate}", (0, 1), loss=loss, bits=bits, score=0.5, update=5 * rate)
        for rate, loss, bits in ((1, 1.1, 0.5), (2, 1.06, 1.2), (3, 1.08, 2.2), (4, 1.11, 3.1))
    ]
    treated = arm_rows("t1", (0,), loss=1.08, bits=0.1, score=0.5, update=6.0)
    found = measured(base(), *reference, treated)
    families = {"da": [f"da{r}" for r in RATES], "other": ["t1"]}
    drawn = curve.draw(found, [arm for family in families.values() for arm in family], 200)
    table = curve.gaps("m", drawn, families).set_index(["axis", "what", "arm"])
    loss, update = table.loc[("loss_ratio", "net_bits", "t1")], table.loc[("update_norm", "net_bits", "t1")]
    assert loss["verdict"] == curve.FOLDED and np.isnan(loss["gap"])
    assert table.loc[("loss_ratio", "net_bits", "all"), "verdict"] == curve.UNTOLD
    assert np.isfinite(update["gap"])  # the size of the update orders the same arms
