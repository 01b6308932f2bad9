"""Names of attacks and variants as people read them."""

import pytest

from presto_bench import config
from presto_bench.report import words


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("k20_prefill", "k = 20, behind the prefill"),
        ("k20_noprefill", "k = 20, no prefill"),
        ("k20_prefill_swapped", "k = 20, behind the prefill, null: arm and guide read another request"),
        ("k5_noprefill_guide_only", "k = 5, no prefill, null: the arm reads another request"),
        ("k20_noprefill_s512", "k = 20, no prefill, 512 steps"),
        ("k10_prefill_b3", "k = 10, behind the prefill, 3 picks below rank 1"),
        ("prefill_full", "behind the attack's prefill"),
        ("prefill_10", "behind 10 tokens of the attack's prefill"),
        ("prefill_0", "no prefill"),
        ("recipe_25", "behind 25 tokens of an untouched answer"),
        ("greedy_recipe_50", "greedy, behind 50 tokens of an untouched answer"),
        ("t1.3_best_of_16", "best of 16, temperature 1.3"),
        ("kind_code_block", "prefill: code block"),
        ("of_a_plug_in", "of a plug in"),
    ],
)
def test_a_variant_is_told_in_words(name, told):
    assert words.variant(name) == told


def test_every_variant_of_the_shipped_experiment_loses_its_underscores(raw_config):
    for attack in config.load(raw_config).attacks:
        for variant in attack.variants():
            assert "_" not in words.attacked(attack.name, variant, {attack.name: attack.kind})


def test_an_attack_with_a_name_of_its_own_keeps_it_beside_its_kind():
    kinds = {"guided": "guided", "deep_rap": "guided"}
    assert words.attack("guided", kinds) == "guided RAP" and words.attack("deep_rap", kinds) == "guided RAP (deep rap)"
