"""The paper's values as data, and which of our numbers stand beside them."""

import pandas as pd
import pytest
import yaml

from presto_bench import config
from presto_bench.report import items, published
from presto_bench.runs import comparable


@pytest.fixture
def paper(root):
    return yaml.safe_load((root / "config/paper.yaml").read_text())


def test_every_published_value_has_a_place_in_the_paper_and_a_range_that_its_measure_has():
    values = published.values()
    assert set(values["item"]) <= {*items.ITEMS, "abstract"}
    assert values["page"].between(1, 28).all() and set(values["arm"]) <= {*comparable.ARMS, "da / da_presto"}
    rates = values[values["measure"].isin(["score", "gsm8k", "helper_accuracy"])]
    assert rates["value"].between(0, 1).all() and len(rates) == 50
    assert values.loc[values["measure"] == "mt_bench", "value"].between(1, 10).all()
    assert not values.duplicated(["item", "model", "arm", "measure", "attack", "setting"]).any()
    assert ((values["how"] == "printed") | values["how"].str.startswith("read off a plot")).all()


def test_the_papers_own_settings_can_be_compared_and_each_departure_is_named(paper):
    loaded = config.load(paper)
    found = pd.DataFrame(comparable.measured(loaded)).set_index("name")
    assert (
        found.loc["autorap", "why"].eq("").all()
        if isinstance(found.loc["autorap"], pd.DataFrame)
        else found.loc["autorap", "why"] == ""
    )
    assert found.loc["prefilling", "why"] == "" and found.loc["gsm8k", "why"] == ""
    (autorap,) = [attack for attack in paper["attacks"] if attack["name"] == "autorap"]
    autorap.update(mode="strict", max_steps=256)
    paper["judges"][0]["model"] = "local-judge"
    changed = pd.DataFrame(comparable.measured(config.load(paper))).set_index("name")["why"]
    told = changed.loc["autorap"] if isinstance(changed.loc["autorap"], str) else changed.loc["autorap"].iloc[0]
    assert (
        told == "graded by local-judge, published: GPT-5; mode strict, published: Algorithm 1; 256 interactions, published: 512"
    )


def test_llama_2s_published_checkpoint_is_the_papers_da_and_our_own_da_is_not(paper):
    loaded = config.load(paper)
    assert comparable.roles(loaded, "llama2_7b") == {
        "base": "base",
        "da": "da",
        "da_presto": "da_presto",
        "da_presto_reference": "da_presto",
        "da_published": "da",
    }
    assert "checkpoint of Qi et al." in comparable.own_arm(loaded, comparable.LLAMA2, "da")
    assert comparable.own_arm(loaded, comparable.LLAMA2, "da_published") == ""
    assert comparable.own_arm(loaded, "Qwen/Qwen3-8B", "da") == ""


def test_every_item_of_the_paper_has_a_name_here_and_what_cannot_be_made_says_why(paper, raw_config):
    assert set(items.ITEMS) == {f"table_{i}" for i in range(1, 9)} | {f"figure_{i}" for i in (1, 2, 3, 6, 7, 8, 9, 10, 11)}
    lacking = comparable.lacking(config.load(raw_config))
    assert lacking["table_6"] == "this experiment has no task of kind `mt_bench` or `lm_eval`"
    assert lacking["table_8"] == "this experiment has no attack of kind `gcg`"
    assert lacking["figure_8"] == "this experiment has no arm of kind `finetuned with examples`"
    made = {name for name, lacks in comparable.lacking(config.load(paper)).items() if lacks is None}
    assert made == {f"table_{i}" for i in range(1, 9)} | {f"figure_{i}" for i in (1, 2, 3, 6, 7, 10, 11)}


def scores(rows):
    columns = ["model", "arm", "attack", "variant", "judge", "mean", "low", "high", "n", "missing"]
    return pd.DataFrame([(*row, 0.5, 0.4, 0.6, 90, 0) for row in rows], columns=columns)


def test_table_7_is_the_whole_budget_behind_the_prefill_by_k():
    variants = ["k5_prefill_s512", "k20_prefill_s512", "k20_prefill_s64", "k20_noprefill_s512"]
    frame = scores([("m", "da", "autorap", variant, "j") for variant in variants] + [("m", "da", "guided", "k20_prefill", "j")])
    found = items.table("table_7", {"scores": frame}, {"autorap": "autorap", "guided": "guided"}, "j")
    assert found["k"].tolist() == [5, 20]


def test_table_2_shows_both_ends_and_the_whole_number():
    tokens = pd.DataFrame(
        {
            "model": "m",
            "arm": "da",
            "split": "train",
            "token": [f"t{i}" for i in range(12)],
            "requests": range(13, 1, -1),
            "seed": 0,
        }
    )
    found = items.table("table_2", {"refusal_tokens": tokens}, {}, "j")
    assert found.groupby("end", sort=False)["token"].apply(list).to_dict() == {
        "top": [f"t{i}" for i in range(5)],
        "bottom": [f"t{i}" for i in range(7, 12)],
    }
    assert (found["total"] == 12).all()
