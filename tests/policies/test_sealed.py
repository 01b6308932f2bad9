"""The sealed dishes: no other split's, asked only where the config says so, and an opening is written down."""

import json

import pytest

from presto_bench import tables
from presto_bench.config.standin import StandinConfig
from presto_bench.policies import cooking, lists
from presto_bench.report import front
from presto_bench.runs import sealed
from presto_bench.stages import prompts as stage
from presto_bench.stages.job import Job


def of_split(config):
    frame = cooking.prompts(StandinConfig.model_validate(config))
    return {split: set(group["category"]) for split, group in frame[frame["role"] == "harmful"].groupby("split")}


def named(split):
    return {dish.name for dish in cooking.dishes() if dish.split == split}


def test_sealed_dishes_are_no_other_dishes_in_whatever_spelling():
    def plain(name):
        return tables.normal_form(name).removeprefix("a ").removeprefix("an ").rstrip("s")

    own = [plain(row["dish"]) for row in lists.rows("sealed_dishes.csv")]
    others = {plain(row["dish"]) for row in lists.rows("dishes.csv")}
    assert len(own) >= 60 and len(set(own)) == len(own) and not set(own) & others


def test_their_ingredients_are_known_ones_so_that_no_other_grade_changes():
    known = {i for row in lists.rows("dishes.csv") for i in row["ingredients"].split()}
    assert {i for row in lists.rows("sealed_dishes.csv") for i in row["ingredients"].split()} <= known


def test_they_are_held_out_where_the_config_says_so_and_asked_nowhere_else():
    plain, opened = of_split({}), of_split({"held_out": "sealed"})
    assert not named("sealed") & set().union(*plain.values())
    assert opened["test"] == named("sealed") and opened["train"] == plain["train"] and opened["dev"] == plain["dev"]


def test_a_null_of_a_sealed_dish_is_another_sealed_dish():
    frame = cooking.prompts(StandinConfig.model_validate({"held_out": "sealed"}))
    asked = frame[(frame["role"] == "harmful") & (frame["split"] == "test")].head(10)
    for prompt, _ in cooking.swapped(asked).values():
        assert any(dish in prompt for dish in named("sealed"))


@pytest.fixture
def opened(tmp_path):
    def run(experiment, held_out="sealed"):
        root = tmp_path / "results" / experiment
        root.mkdir(parents=True, exist_ok=True)
        output = {name: root / f"{name}.parquet" for name in ("prompts", "prefills")}
        stage.make(Job("prompts", {}, {"policy": "cooking", "standin": {"held_out": held_out}}, "", {}, output, root))
        return [opening["experiment"] for opening in sealed.openings(root)]

    return run


def test_an_opening_is_written_down_once_an_experiment(opened, tmp_path):
    published = list(tables.read_csv(sealed.PUBLISHED)["experiment"])
    assert opened("plain", "test") == published
    assert opened("first") == opened("first") == [*published, "first"]
    assert opened("second") == [*published, "first", "second"]
    lines = (tmp_path / "results/sealed.jsonl").read_text().splitlines()
    assert set(json.loads(lines[0])) == {"experiment", "opened", "commit"}


def test_the_first_page_begins_with_what_breaks_the_seal():
    import pandas as pd

    def seal(names, stated):
        return front._seal(names, pd.DataFrame({"stated": stated}))

    assert seal(["one (2026-11-29)"], ["before"]) == []
    assert "opened more than once: one, two" in seal(["one", "two"], ["before"])[0]
    assert "older than its claims" in seal(["one"], ["before", "after"])[0]
    assert "not known" in seal(["one"], ["not known"])[0]
    assert seal([], ["after"]) == [], "an experiment on other requests has no seal"
