"""`snakemake strength` on the tiny model: the grid's arms are trained and asked on dev requests, and nothing else of the experiment counts them."""

import json

import pandas as pd
import pytest

from project import edit

GRID = """
strength: {arm: da, lr: [1.0e-3, 2.0e-3], seeds: [7], depths: [2], samples: 2, max_new_tokens: 8}
arms:
"""


@pytest.fixture(scope="module")
def graded(finished):
    """The finished tiny run with a grid in its config."""
    undo = edit(finished, "tests/config/tiny.yaml", "\narms:\n", GRID)
    finished.run("strength")
    yield finished
    undo()


def test_every_rate_and_base_have_a_row_and_the_rule_says_why_none_is_admissible(graded):
    results = graded.path / "results/tiny/strength"
    table = pd.read_csv(results / "tiny.csv")
    assert table["arm"].tolist() == ["base", "da_lr1000u", "da_lr2000u"]
    assert table[["refuses_prefill", "refuses_2", "prefilling", "guided", "loss", "entropy_prefill"]].notna().all(axis=None)
    pick = json.loads((results / "tiny.json").read_text())
    assert pick["weakest"] is None, "a random model of twelve steps refuses nothing"
    assert {float(rate) for rate in pick["reasons"]} == {1e-3, 2e-3}


def test_only_dev_requests_are_looked_at(graded):
    prompts = pd.read_parquet(graded.path / "results/tiny/data/prompts.parquet").set_index("prompt_id")["split"]
    for path in graded.path.glob("results/tiny/attacks/strength_*/tiny/*/*.parquet"):
        assert set(prompts[pd.read_parquet(path)["prompt_id"]]) == {"dev"}


def test_the_experiment_itself_has_nothing_to_do_anew(graded):
    assert "finetune_arm" not in graded.would_run() and "attack_arm" not in graded.would_run()
    scores = pd.read_csv(graded.path / "results/tiny/tables/scores.csv")
    assert not scores["arm"].str.contains("lr").any()
