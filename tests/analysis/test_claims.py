"""Claims against evidence: what is supported, refuted, undecided, untestable, and how often a true null is called supported."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presto_bench.analysis import claims, stats
from presto_bench.errors import UserError

N = 60


def scores(arm, values):
    values = np.atleast_2d(values)
    return [
        {
            "model": "m",
            "arm": arm,
            "seed": s,
            "attack": "guided",
            "variant": "k20",
            "prompt_id": f"p{i}",
            "judge": "j",
            "score": v,
        }
        for s, row in enumerate(values)
        for i, v in enumerate(row)
    ]


def evidence(da, presto, checks=(("c", True),)):
    graded = pd.DataFrame(scores("da", da) + scores("da_presto", presto))
    none = pd.DataFrame(columns=["model", "arm", "seed", "role", "prompt_id", "position", "rank", "task", "value", "weight"])
    table = pd.DataFrame([{"model": "m", "name": name, "ok": ok} for name, ok in checks], columns=["model", "name", "ok"])
    return claims.Evidence(graded, none, none, table)


def claim(direction="lower", minimum=0.05, checks="all", **changes):
    entry = {
        "name": "c1",
        "says": "x",
        "source": "y",
        "endpoint": {"kind": "score", "attack": "guided"},
        "reference": "da",
        "treated": "da_presto",
        "direction": direction,
        "minimum": minimum,
        "checks": checks,
    }
    return claims.Claim.model_validate(entry | changes)


def verdict(found, *asked):
    return claims.verdicts(asked, found, ["m"], 400).set_index("name")


RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.1, N)


@pytest.mark.parametrize(
    ("direction", "effect", "expected"),
    [
        ("lower", -0.3, "supported"),
        ("lower", 0.0, "refuted"),
        ("lower", 0.3, "refuted"),
        ("lower", -0.05, "undecided"),
        ("higher", 0.3, "supported"),
        ("higher", -0.3, "refuted"),
        ("higher", 0.05, "undecided"),
        ("at_most", 0.0, "supported"),
        ("at_most", -0.4, "supported"),
        ("at_most", 0.3, "refuted"),
        ("at_most", 0.05, "undecided"),
    ],
)
def test_the_verdict_follows_from_where_the_difference_lies(direction, effect, expected):
    """A minimum of 0.05 and a standard error of 0.013: effects of 0.3 are far beyond it, of 0.05 right on it."""
    found = verdict(evidence(np.full(N, 0.5), 0.5 + effect + NOISE - NOISE.mean()), claim(direction))
    assert found.loc["c1", "verdict"] == expected
    assert found.loc["c1", "difference"] == pytest.approx(effect)


@pytest.mark.parametrize("checks", ["all", ["c"], ["absent"]])
def test_a_check_that_fails_or_is_absent_makes_a_claim_untestable_and_is_named(checks):
    found = verdict(evidence(np.full(N, 0.9), np.full(N, 0.1), checks=[("c", False)]), claim(checks=checks))
    assert found.loc["c1", "verdict"] == "untestable"
    assert ("absent" if checks == ["absent"] else "c") in found.loc["c1", "why"]
    assert found.loc["c1", "difference"] == pytest.approx(-0.8)  # shown all the same


@pytest.mark.parametrize(("arm", "stops"), [("da", True), ("da_presto", True), ("base", False)])
@pytest.mark.parametrize("asked", ["all", ["c"]])
def test_where_the_judge_misreads_an_arm_no_claim_is_made_on_its_scores(arm, stops, asked):
    found = evidence(np.full(N, 0.9), np.full(N, 0.1), checks=[("c", True), (f"judge_agrees_on_{arm}", False)])
    why = verdict(found, claim(checks=asked)).loc["c1", "why"]
    assert (f"judge_agrees_on_{arm}" in why) == stops


def test_a_claim_on_no_scores_does_not_ask_how_well_the_judge_reads():
    found = evidence(np.full(N, 0.9), np.full(N, 0.1), checks=[("c", True), ("judge_agrees_on_da", False)])
    about_bits = claim(endpoint={"kind": "bits", "what": "harmful"})
    assert claims._failed_checks(about_bits, found.checks, "m") == []


def test_a_check_that_only_reports_does_not_stop_a_claim():
    checks = [("c", True), ("da_heldout_loss_ratio", None)]
    assert verdict(evidence(np.full(N, 0.9), 0.1 + NOISE, checks), claim()).loc["c1", "verdict"] == "supported"


def test_what_was_not_measured_is_untestable():
    asked = claim(endpoint={"kind": "bits", "what": "net_of_damage"})
    assert verdict(evidence(np.full(N, 0.9), np.full(N, 0.1)), asked).loc["c1", "verdict"] == "untestable"


@pytest.mark.parametrize("graded", [0, 1, 40])
@pytest.mark.parametrize("direction", ["lower", "higher", "at_most"])
def test_an_arm_whose_grades_are_missing_supports_nothing(direction, graded):
    scores_of_few = np.where(np.arange(N) < graded, 0.0, np.nan)
    found = verdict(evidence(np.full(N, 0.9), scores_of_few), claim(direction))
    assert found.loc["c1", "verdict"] == "untestable"
    assert "missing" in found.loc["c1", "why"]


def test_what_a_training_seed_does_to_both_texts_cancels_in_a_net_claim():
    """Seeds of very different strength, each with a net gain of exactly 1 bit over base; unequal numbers of requests."""
    rows = []
    for arm, gains in (("da", (0, 0)), ("da_presto", (2, 9))):
        for seed, gain in enumerate(gains):
            for role, own, n in (("harmful_harmful", gain and gain + 1, 20), ("benign_benign", gain, 19)):
                rows += [
                    {
                        "model": "m",
                        "arm": arm,
                        "seed": seed,
                        "role": role,
                        "prompt_id": f"{role}{i}",
                        "position": 0,
                        "rank": 2**own,
                    }
                    for i in range(n)
                ]
    found = evidence(np.full(N, 0.9), np.full(N, 0.1))
    found = claims.Evidence(found.graded, pd.DataFrame(rows), found.utility, found.checks)
    row = verdict(found, claim("higher", 0.5, endpoint={"kind": "bits", "what": "net_of_damage"})).loc["c1"]
    assert (row["low"], row["high"], row["verdict"]) == (1.0, 1.0, "supported")


def test_holm_by_hand():
    """Of 0.01, 0.04, 0.03: 3 x 0.01, then 2 x 0.03, then the larger of 0.06 and 0.04."""
    assert stats.holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_makes_a_p_value_smaller_nor_changes_their_order(values):
    p = np.array(values)
    corrected = stats.holm(p)
    assert (corrected >= p).all() and (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


def test_a_planted_null_is_called_supported_no_more_often_than_it_says():
    """200 pairs of arms that are the same but for noise, minimum 0, one claim: one-sided, so 5 %; within three standard errors."""
    rng, called = np.random.default_rng(1), 0
    for _ in range(200):
        base = rng.beta(1, 3, N)
        found = evidence(base + rng.normal(0, 0.1, N), base + rng.normal(0, 0.1, N))
        called += verdict(found, claim(minimum=0.0)).loc["c1", "verdict"] == "supported"
    assert called <= 200 * 0.05 + 3 * (200 * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize("n", [9, 25, 80])
@pytest.mark.parametrize(("direction", "base"), [("lower", 1.0), ("higher", 0.0), ("at_most", 0.0)])
def test_where_hardly_a_request_differs_a_claim_on_its_line_is_rarely_called_either_way(direction, base, n):
    """Zero-inflated: a request in twenty changes, from `base` to the other end of the scale, so that the true difference lies on the line of
    0.05. Supported in 5 % of worlds, refuted in 2.5 %; within three standard errors of 1,000 worlds. A world is how many changed: which ones
    did says nothing, so that each number is judged once."""

    @cache
    def called(changed):
        found = evidence(np.full(n, base), np.where(np.arange(n) < changed, 1 - base, base))
        return claims.verdicts([claim(direction)], found, ["m"], 200).loc[0, "verdict"]

    worlds = [called(int(changed)) for changed in np.random.default_rng(2).binomial(n, 0.05, 1000)]
    assert worlds.count("supported") <= 1000 * 0.05 + 3 * (1000 * 0.05 * 0.95) ** 0.5
    assert worlds.count("refuted") <= 1000 * 0.025 + 3 * (1000 * 0.025 * 0.975) ** 0.5


def test_where_nothing_is_left_to_lower_no_claim_is_refuted():
    """Neither arm gives anything away: that says nothing about what the treated one would have done to a leak."""
    found = verdict(evidence(np.zeros(N), np.zeros(N)), claim())
    assert found.loc["c1", "verdict"] == "untestable" and "da scores 0.000" in found.loc["c1", "why"]
    assert verdict(evidence(np.full(100, 0.2), np.full(100, 0.2)), claim()).loc["c1", "verdict"] == "refuted"


def test_of_requests_that_never_differ_as_many_may_as_so_few_cannot_exclude():
    """Of 60 without an event 3 / 60 and a bit may have one (rule of three; two-sided 1 - 0.025^(1/60) = 0.0596)."""
    row = verdict(evidence(np.full(N, 0.5), np.full(N, 0.5)), claim("at_most")).loc["c1"]
    assert (row["low"], row["high"]) == pytest.approx((-0.0596, 0.0596), abs=1e-4)
    assert row["p_holm"] == pytest.approx(0.95**60)


def test_a_difference_stands_beside_what_it_cost():
    rows = [
        {"model": "m", "arm": arm, "seed": 0, "task": "heldout", "prompt_id": f"h{i}", "value": loss, "weight": 10.0}
        for arm, loss in {"da": 1.0, "da_presto": 1.5}.items()
        for i in range(5)
    ]
    found = evidence(np.full(N, 0.9), 0.1 + NOISE)
    priced = claims.Evidence(found.graded, found.ranks, pd.DataFrame(rows), found.checks, price="heldout")
    assert verdict(priced, claim()).loc["c1", "loss_ratio"] == pytest.approx(1.5)
    assert np.isnan(verdict(found, claim()).loc["c1", "loss_ratio"])


def test_the_net_of_two_texts_is_a_difference_of_differences():
    """Harmful text gains 3 bits, benign text 1: a net of 2."""
    cost = {
        ("da", "harmful_harmful"): 2,
        ("da", "benign_benign"): 1,
        ("da_presto", "harmful_harmful"): 5,
        ("da_presto", "benign_benign"): 2,
    }
    rows = [
        {"model": "m", "arm": arm, "seed": 0, "role": role, "prompt_id": f"{role}{i}", "position": p, "rank": 2**bits}
        for (arm, role), bits in cost.items()
        for i in range(10)
        for p in range(4)
    ]
    found = evidence(np.full(N, 0.9), np.full(N, 0.1))
    found = claims.Evidence(found.graded, pd.DataFrame(rows), found.utility, found.checks)
    asked = claim("higher", 0.5, endpoint={"kind": "bits", "what": "net_of_damage"})
    row = verdict(found, asked).loc["c1"]
    assert (row["difference"], row["verdict"]) == (2.0, "supported")


def test_a_claim_on_utility_weighs_answers_as_the_tables_do():
    """A long answer that loses 1 and a short one that loses nothing: a mean of 0.9, and not of a half."""
    rows = [
        {"model": "m", "arm": arm, "seed": 0, "task": "heldout", "prompt_id": f"h{i}", "value": 1 + lost, "weight": weight}
        for arm, losses in {"da": (0, 0), "da_presto": (1, 0)}.items()
        for i, (lost, weight) in enumerate(zip(losses, (90, 10), strict=True))
    ]
    found = evidence(np.full(N, 0.9), np.full(N, 0.1))
    found = claims.Evidence(found.graded, found.ranks, pd.DataFrame(rows), found.checks)
    row = verdict(found, claim("higher", 0.05, endpoint={"kind": "utility", "task": "heldout"})).loc["c1"]
    assert row["difference"] == pytest.approx(0.9)


def test_the_shipped_claims_can_be_read_and_a_mistake_in_them_is_named(root, tmp_path):
    shipped = claims.read(root / "config/claims.yaml")
    assert {claim.name for claim in claims.read(root / "config/experiments/claims-facts.yaml")} >= {
        "any_picker",
        "fact_bits_net",
    }
    assert "deeper_than_a_random_span" in {claim.name for claim in claims.read(root / "config/experiments/claims-rivals.yaml")}
    assert len({one.name for one in shipped}) == len(shipped) >= 5
    broken = tmp_path / "claims.yaml"
    broken.write_text((root / "config/claims.yaml").read_text().replace("direction: lower", "direction: sideways", 1))
    with pytest.raises(UserError, match=r"claims\[0\]\.direction"):
        claims.read(broken)


def two_strengths(weak, strong):
    """Differences of DA + PRESTO from DA at both strengths, in a score of 0.5."""
    rows = [
        row
        for arm, at in (("da", 0.5), ("da_presto", 0.5 + weak), ("da_s", 0.5), ("presto_s", 0.5 + strong))
        for row in scores(arm, at + NOISE)
    ]
    none = pd.DataFrame(columns=["model", "arm", "seed", "role", "prompt_id", "position", "rank", "task", "value", "weight"])
    return claims.Evidence(pd.DataFrame(rows), none, none, pd.DataFrame([{"model": "m", "name": "c", "ok": True}]))


@pytest.mark.parametrize(
    ("weak", "strong", "joint"),
    [(-0.3, -0.3, "supported"), (0.2, 0.2, "refuted"), (-0.3, 0.2, "depends on strength"), (0.2, -0.3, "depends on strength")],
)
def test_a_claim_at_both_strengths_has_a_verdict_on_each_and_a_joint_one(weak, strong, joint):
    asked = claim(strongest={"reference": "da_s", "treated": "presto_s"})
    found = claims.verdicts([asked], two_strengths(weak, strong), ["m"], 400).set_index("at")
    assert list(found.index) == ["weakest", "strongest", "both"] and found.loc["both", "verdict"] == joint
    assert found.loc["weakest", "difference"] == pytest.approx(weak) and found.loc["strongest", "difference"] == pytest.approx(
        strong
    )
    assert np.isnan(found.loc["both", "difference"])


def test_the_primary_claim_is_not_corrected_for_the_secondary_ones():
    found = evidence(np.full(N, 0.5), 0.2 + NOISE)
    asked = [claim(name="first", tier="primary"), *(claim(name=f"more{i}") for i in range(4))]
    table = claims.verdicts(asked, found, ["m"], 400).set_index("name")
    assert table.loc["more0", "p_holm"] == pytest.approx(4 * table.loc["first", "p_holm"])


def test_a_descriptive_claim_is_shown_and_not_tested():
    found = claims.verdicts([claim(tier="descriptive")], evidence(np.full(N, 0.5), 0.2 + NOISE), ["m"], 400).iloc[0]
    assert found["verdict"] == "descriptive" and np.isnan(found["p_holm"]) and found["difference"] < -0.2


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, "supported"), (1.3, "refuted")])
def test_a_ratio_of_held_out_losses_is_held_against_its_bar(ratio, expected):
    items = [
        {
            "model": "m",
            "arm": arm,
            "seed": 0,
            "task": "heldout",
            "prompt_id": f"p{i}",
            "value": times * (1 + 0.1 * np.sin(i)),
            "weight": 1.0,
        }
        for arm, times in (("da", 1.0), ("da_presto", ratio))
        for i in range(N)
    ]
    found = evidence(np.full(N, 0.5), np.full(N, 0.5))
    found = claims.Evidence(found.graded, found.ranks, pd.DataFrame(items), found.checks)
    row = claims.verdicts([claim("at_most", 1.10, endpoint={"kind": "loss_ratio", "task": "heldout"})], found, ["m"], 400).iloc[
        0
    ]
    assert row["difference"] == pytest.approx(ratio) and row["verdict"] == expected and row["bar"] == "< 1.1"
