"""What figures call an arm's method, on the configs that we ship."""

import pytest

from presto_bench import config
from presto_bench.report import methods

SAID = {
    "base": "not trained here",
    "da": "DA",
    "da_double": "DA",
    "da_presto": "DA + PRESTO",
    "presto_weak": "DA + PRESTO",
    "presto_only": "PRESTO",
    "presto_random_span": "DA + a control's penalty",
    "presto_benign_prefill": "DA + a control's penalty",
    "da_kl": "DA + KL",
    "da_derta": "DA + transition (DeRTa)",
    "da_smoothed": "DA + label smoothing",
    "da_presto_finetuned": "DA + PRESTO, fine-tuning attack",
    "base_finetuned": "fine-tuning attack",
    "da_reopened": "DA, re-opened turn",
    "base_safe_decoding": "safe decoding",
}


@pytest.mark.parametrize("arm", SAID)
def test_an_arm_is_called_what_was_done_to_it(root, arm):
    ablations = config.read(root / "config/ablations.yaml")
    assert methods.method(ablations, ablations.item("arms", arm)) == SAID[arm]


def test_arms_with_the_term_are_paired_with_all_without_it_and_a_control_has_none(root):
    pairs = methods.term_pairs(config.read(root / "config/experiments/matched.yaml"))
    with_term = {"da_presto", "presto_third", "presto_tenth"}
    assert {treated for _, treated in pairs} == with_term
    without = {reference for reference, _ in pairs}
    assert {"da", "da_kl", "presto_random_span", "presto_benign_prefill"} <= without and not without & (with_term | {"base"})
    assert len(pairs) == len(without) * len(with_term)
