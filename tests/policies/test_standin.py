"""The stand-in policy: our own lists, split by dish, with what the method needs of them."""

from collections import Counter

from presto_bench.config import StandinConfig
from presto_bench.lm import folders
from presto_bench.policies import cooking

PROMPTS = cooking.prompts(StandinConfig())


def test_there_are_enough_dishes_and_benign_requests_in_every_split():
    counts = Counter(dish.split for dish in cooking.dishes())
    assert sum(counts.values()) >= 200
    assert counts["test"] >= 40
    benign = PROMPTS[PROMPTS["role"] == "benign"]
    assert len(benign) >= 150
    assert set(benign["split"]) == {"train", "dev", "test"}
    assert benign["category"].nunique() >= 8


def test_dishes_not_prompts_are_split():
    dishes = PROMPTS[PROMPTS["role"] == "harmful"].groupby("category")["split"].nunique()
    assert (dishes == 1).all()
    ids = {split: set(group["prompt_id"]) for split, group in PROMPTS.groupby("split")}
    assert not ids["train"] & ids["test"] and not ids["dev"] & ids["test"] and not ids["train"] & ids["dev"]


def test_requests_are_unique_and_never_empty():
    assert PROMPTS["prompt"].is_unique
    assert PROMPTS["prompt"].str.strip().ne("").all()


def test_refusals_open_in_at_least_45_ways(smollm2):
    tokenizer = folders.load_tokenizer(smollm2)
    openers = {tokenizer.encode(refusal, add_special_tokens=False)[0] for refusal in cooking.refusals()}
    assert len(openers) >= 45


def test_frequent_refusals_are_frequent_and_rare_ones_occur():
    """Zipf-like: over many draws the first is the most frequent, and most of the list occurs."""
    drawn = Counter(cooking.draw_refusal("test", i) for i in range(3000))
    assert drawn.most_common(1)[0][0] == cooking.refusals()[0]
    assert len(drawn) > 0.9 * len(cooking.refusals())
    assert drawn[cooking.refusals()[0]] > 4 * drawn[cooking.refusals()[-1]]


def test_every_cooking_request_has_a_prefill_that_affirms_it():
    prefills = cooking.attack_prefills(PROMPTS)
    harmful = PROMPTS[PROMPTS["role"] == "harmful"].set_index("prompt_id")
    assert set(prefills["prompt_id"]) == set(harmful.index)
    assert all(harmful["category"][row.prompt_id].lower() in row.prefill.lower() for row in prefills.itertuples())


def test_the_swapped_request_asks_for_a_dish_that_shares_no_ingredient():
    test = PROMPTS[(PROMPTS["role"] == "harmful") & (PROMPTS["split"] == "test")]
    twins = cooking.swapped(test)
    for row in test.itertuples():
        own = cooking.dish_of(row.category)
        named = [dish for dish in cooking.dishes() if dish.split == "test" and f" {dish.name}" in twins[row.prompt_id][0]]
        assert named and own.name not in [dish.name for dish in named]
        assert any(not set(dish.ingredients) & set(own.ingredients) for dish in named)
        prompt, prefill = twins[row.prompt_id]
        assert prompt.endswith(cooking.BRIEF)
        assert own.name.lower() not in prefill.lower() and any(dish.name.lower() in prefill.lower() for dish in named)


def test_a_limit_takes_a_mixture():
    few = cooking.prompts(StandinConfig.model_validate({"benign": {"train": 10}, "dishes": {"test": 5}}))
    assert len(few[(few["role"] == "benign") & (few["split"] == "train")]) == 10
    assert few[(few["role"] == "benign") & (few["split"] == "train")]["category"].nunique() >= 4
    assert few[(few["role"] == "harmful") & (few["split"] == "test")]["category"].nunique() == 5
