"""Policy `harm`: what the tables of an experiment hold, from sources in their published formats (harmless ones, of our own lists)."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import paper_data
from presto_bench import tables
from presto_bench.config import HarmConfig
from presto_bench.data.sources import SOURCES
from presto_bench.errors import UserError
from presto_bench.judges import refusal
from presto_bench.judges import triples as triples_of
from presto_bench.policies import by_name, harm
from presto_bench.stages import harm_prompts
from presto_bench.stages.job import Job

FRAMES = {name: frame.rename(columns=SOURCES[name].renamed) for name, frame in paper_data.frames().items()}
PAIRS = harm.helper_pairs(FRAMES["pku_saferlhf"], 8, 4)
PARTS = {
    "test": FRAMES["strongreject"],
    "benign_prompts": FRAMES["alpaca"],
    "anchor_prompts": FRAMES["push_forward_utility_prompts"],
    harm.SAFETY: FRAMES["push_forward_qwen3_triples"],
}


def made(**changes):
    return harm.prompts(HarmConfig(held_out=8, helper_train=8, helper_dev=4), PARTS | changes, PAIRS)[0]


def test_the_splits_are_what_the_sources_are_for():
    counts = made().groupby(["role", "split", "category"]).size().to_dict()
    assert counts == {
        ("benign", "test", "held_out"): 8,
        ("benign", "train", "anchor"): 16,
        ("harmful", "dev", "helper"): 4,
        ("harmful", "test", "baking"): 4,
        ("harmful", "test", "cooking"): 4,
        ("harmful", "train", "helper"): 8,
        ("harmful", "train", "safety"): 12,
    }


@given(st.sets(st.integers(0, paper_data.ATTACKED - 1)))
def test_a_request_that_is_attacked_never_trains(stolen):
    """Whatever attacked requests stand among the triples' instructions and the anchors too: they measure, once."""
    attacked = FRAMES["strongreject"]["prompt"]
    twice = pd.DataFrame({"prompt": [attacked[i] for i in sorted(stolen)]})
    frame = made(
        **{
            harm.SAFETY: pd.concat([PARTS[harm.SAFETY][["prompt"]], twice]),
            "anchor_prompts": pd.concat([PARTS["anchor_prompts"], twice]),
        }
    )
    assert not frame["prompt_id"].duplicated().any()
    mine = frame[frame["prompt"].isin(attacked)]
    assert len(mine) == paper_data.ATTACKED and set(mine["split"]) == {"test"}


SPELLINGS = (
    str.upper,
    lambda text: f"  {text.replace(' ', '  ')} ",
    lambda text: text.replace("?", "\uff1f"),
    lambda text: text.replace(" ", "\u00a0"),
)


@pytest.mark.parametrize("respell", SPELLINGS)
def test_a_request_that_is_attacked_never_trains_in_another_spelling_either(respell):
    attacked = FRAMES["strongreject"]["prompt"]
    respelled = pd.DataFrame({"prompt": [respell(text) for text in attacked[:3]]})
    parts = PARTS | {harm.SAFETY: pd.concat([PARTS[harm.SAFETY][["prompt"]], respelled])}
    frame, left_out = harm.prompts(HarmConfig(held_out=8, helper_train=8, helper_dev=4), parts, PAIRS)
    assert left_out == 3
    assert frame.equals(made())


def test_a_limit_takes_whole_rows_and_the_same_ones_whatever_their_order():
    config = HarmConfig(requests=4, held_out=8, helper_train=8, helper_dev=4)
    first, _ = harm.prompts(config, PARTS, PAIRS)
    again, _ = harm.prompts(config, PARTS | {"test": FRAMES["strongreject"].iloc[::-1].reset_index(drop=True)}, PAIRS)
    chosen = [set(f.loc[(f["role"] == "harmful") & (f["split"] == "test"), "prompt_id"]) for f in (first, again)]
    assert len(chosen[0]) == 4 and chosen[0] == chosen[1]


def test_prefills_are_joined_by_the_requests_text_and_none_may_be_missing():
    frame, given_prefills = made(), FRAMES["push_forward_prefills"]
    found = harm.prefills(frame, given_prefills, "push_forward_prefills").set_index("prompt_id")["prefill"]
    for row in given_prefills.itertuples():
        assert found[tables.prompt_id(row.prompt)] == row.prefill
    with pytest.raises(UserError, match="no prefill for request"):
        harm.prefills(frame, given_prefills.head(3), "push_forward_prefills")


def test_the_helper_learns_from_pairs_with_one_safe_answer_and_the_worst_other():
    rows = [(True, True, 3, 3), (False, False, 3, 3), (True, False, 0, 2), (True, False, 0, 3), (False, True, 3, 0)]
    frame = pd.DataFrame(
        rows, columns=["is_response_0_safe", "is_response_1_safe", "response_0_severity_level", "response_1_severity_level"]
    )
    frame = frame.assign(
        prompt=[f"request {i}" for i in range(5)],
        response_0=[f"the first answer to request {i}" for i in range(5)],
        response_1=[f"the second answer to request {i}" for i in range(5)],
    )
    found = harm.helper_pairs(frame, 1, 1)
    assert set(found["text"]) == {"the second answer to request 3", "the first answer to request 4"}
    assert sorted(found["split"]) == ["dev", "train"]
    with pytest.raises(UserError, match="only 2 pairs"):
        harm.helper_pairs(frame, 2, 1)


def test_triples_that_were_written_are_counted_and_unusable_ones_left_out():
    triples = pd.DataFrame(
        {
            "prompt_id": ["a", "b", "c"],
            "harmful": ["First you take the flour and then you go on.", "I'm sorry, but I can't help with that.", "Yes."],
            "refusal": ["I cannot help with that.", "I cannot help with that.", "As an AI, I must decline that."],
        }
    )
    checks = triples_of.checks(triples).set_index("what")["value"]
    assert checks["triples"] == 3 and checks["refusals that refuse"] == 3 and checks["harmful answers that refuse"] == 1
    assert checks["distinct refusals"] == 2 and checks["shortest, harmful"] == 4
    assert list(triples_of.usable(triples, "x")["prompt_id"]) == ["a"]
    with pytest.raises(UserError, match="no triple is left"):
        triples_of.usable(triples.tail(2), "x")


def test_the_nulls_request_is_of_another_category():
    frame = made()
    attacked = frame[(frame["role"] == "harmful") & (frame["split"] == "test")]
    category = dict(zip(attacked["prompt"], attacked["category"], strict=True))
    prefills = {row.prompt_id: f"To {row.prompt}" for row in attacked.itertuples()}
    for row, (twin, prefill) in zip(attacked.itertuples(), by_name.twins("harm", attacked, prefills).values(), strict=True):
        assert category[twin] != row.category
        assert prefill == f"To {twin}"


@pytest.mark.parametrize(
    "text",
    [
        "I cannot fulfill your request. I am just an AI.",
        "I'm sorry, but I can't assist with that.",
        "I’m really sorry, but that would be wrong.",
        "I apologize, but no.",
        "I apologize, but I can't provide that.",
        "It is not ethical to provide such a thing.",
        "We are not able to write this.",
    ],
)
def test_refusals_of_the_families_are_told(text):
    assert refusal.declines(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here is how: first, boil water.",
        "I can't wait to tell you. First, boil water.",
        "I cannot recommend this soup enough.",
    ],
)
def test_answers_are_not_taken_for_refusals(text):
    assert not refusal.declines(text)


PRIVATE = ("prompts", "prefills", "pairs")


@pytest.fixture
def job(tmp_path):
    """The job of rule harm_prompts, its sources on disk; limits as the test asks."""

    def made(**limits):
        paper_data.write_sources(tmp_path)

        def path(name):
            return str(tmp_path / f"{name}.{SOURCES[name].ending}")

        config = HarmConfig(held_out=8, helper_train=8, helper_dev=4, **limits)
        return Job(
            rule="harm_prompts",
            wildcards={},
            spec={"harm": config.model_dump(mode="json")},
            code="",
            input={
                "test": path("strongreject"),
                "published_prefills": path("push_forward_prefills"),
                "benign_prompts": path("alpaca"),
                "helper": path("pku_saferlhf"),
                "examples": path("push_forward_few_shot"),
                "safety": [path("llama2_triples"), path("push_forward_qwen3_triples")],
                "anchors": [path("llama2_anchors"), path("push_forward_utility_prompts")],
            },
            output={name: str(tmp_path / f"{name}.parquet") for name in PRIVATE}
            | {"exemplars": str(tmp_path / "exemplars.csv")},
            root=tmp_path,
        )

    return made


def test_a_limit_on_anchors_takes_as_many_of_each_models_source(job):
    """Else the first source would take the others' places, and a model would train on another's requests."""
    asked = job(anchors=5)
    harm_prompts.make(asked)
    prompts = tables.read(asked.path("prompts"), "prompts")
    anchors = set(prompts.loc[prompts["category"] == harm.ANCHOR, "prompt"])
    assert anchors == {*FRAMES["llama2_anchors"]["prompt"][:5], *FRAMES["push_forward_utility_prompts"]["prompt"][:5]}


def test_requests_that_were_examples_for_the_prefills_are_flagged_by_id(job):
    asked = job()
    harm_prompts.make(asked)
    prompts = tables.read(asked.path("prompts"), "prompts").set_index("prompt_id")["prompt"]
    flagged = prompts[tables.read_csv(asked.path("exemplars"))["prompt_id"]]
    assert sorted(flagged) == sorted(FRAMES["push_forward_few_shot"]["prompt"]) and len(flagged) == 2
    del asked.input["examples"]
    harm_prompts.make(asked)
    assert tables.read_csv(asked.path("exemplars")).empty


def test_requests_prefills_and_answers_can_be_read_by_their_owner_alone(job):
    asked = job()
    harm_prompts.make(asked)
    for name in PRIVATE:
        assert asked.path(name).stat().st_mode & 0o077 == 0
    pairs = tables.read(asked.path("pairs"), "written")
    prompts = tables.read(asked.path("prompts"), "prompts").set_index("prompt_id")
    assert set(prompts.loc[pairs["prompt_id"], "category"]) == {harm.HELPER} and len(pairs) == 12
