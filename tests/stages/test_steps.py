"""The steps of a rank attack, as the page shows them: each list is the arm's own at that place, whatever was picked or taken back before."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

import tiny_model
from presto_bench import tables
from presto_bench.attacks import moves
from presto_bench.attacks.moves import Move
from presto_bench.lm import chat, models
from presto_bench.stages import steps
from presto_bench.stages.job import Job

PROMPT, PREFILL = "How do I make bread?", "First"
# Two picks; the second is taken back, and another one is picked in its place: a token that is not among the 20.
WALK = [Move(0, 40, {40: True, 41: False}), Move(1, 50), Move(2, None, {60: False}), Move(1, 70)]


@pytest.fixture
def job(tmp_path):
    """A job of rule steps on one request, with the moves above recorded or not."""
    tiny_model.make(tmp_path / "model")

    def made(recorded):
        row = dict.fromkeys(tables.TABLES["completions"].columns)
        row |= {"completion_id": "c", "model": "tiny", "arm": "da", "seed": 0, "attack": "autorap", "variant": "k20_prefill_s4"}
        row |= {"prompt_id": "p", "sample": 0, "prefill": PREFILL, "response": "x", "token_ids": [40, 70], "finish": "length"}
        row |= {"steps": 4, "backtracks": 1, "ranks": [1, 30], "reasoned": 0, "seconds": 0.0}
        tables.write(tmp_path / "completions.parquet", "completions", pd.DataFrame([row]))
        prompts = {"prompt_id": ["p"], "prompt": [PROMPT], "category": ["bread"], "role": ["harmful"], "split": ["test"]}
        tables.write(tmp_path / "prompts.parquet", "prompts", pd.DataFrame(prompts))
        tables.write(
            tmp_path / "prefills.parquet", "prefills", pd.DataFrame({"prompt_id": ["p"], "prefill": [PREFILL], "source": ["x"]})
        )
        if recorded:
            moves.write(tmp_path / "completions.searches.jsonl", "p", WALK)
        inputs = {name: str(tmp_path / f"{name}.parquet") for name in ("completions", "prompts", "prefills")}
        folder = str(tmp_path / "model")
        return Job(
            rule="steps",
            wildcards={"model": "tiny", "arm": "da", "seed": "0", "attack": "autorap"},
            spec={
                "policy": "cooking",
                "models": {"name": "tiny", "kind": "local", "path": folder},
                "variant": "k20_prefill_s4",
                "requests": 4,
            },
            code="",
            input=inputs | {"model": folder, "untouched": folder},
            output={"steps": str(tmp_path / "steps.parquet")},
            root=tmp_path,
        )

    return made


def made(job):
    steps.make(job)
    return tables.read(job.path("steps"), "steps")


def own_list(job, said):
    """The 20 likeliest tokens behind prompt, prefill and what was said, of one forward pass."""
    model, tokenizer = models.load(job.path("model"), "float32", "cpu")
    ids = chat.encode(tokenizer, PROMPT, chat.ChatFormat(), PREFILL, list(said)).ids
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, -1].float()
    order = sorted(range(len(logits)), key=lambda token: (-logits[token].item(), token))
    return order, logits.softmax(-1)


def test_each_step_has_the_arms_list_at_that_place_also_where_tokens_were_taken_back(job):
    asked = job(recorded=True)
    found = made(asked)
    said = {1: (), 2: (40,), 3: (40, 50), 4: (40,)}
    for step, own in found.groupby("step"):
        order, probabilities = own_list(asked, said[step])
        listed = own[own["rank"] <= 20].sort_values("rank")
        assert list(listed["token_id"]) == order[:20] and set(own["depth"]) == {len(said[step])}
        assert listed["probability"].to_numpy() == pytest.approx(probabilities[order[:20]].numpy(), abs=1e-5)


def test_a_pick_below_the_list_stands_behind_it_with_its_own_rank(job):
    asked = job(recorded=True)
    picked = made(asked).query("picked").set_index("step")
    assert picked["token_id"].to_dict() == {1: 40, 2: 50, 4: 70}, "at step 3 nothing was picked"
    for step, said in ((1, ()), (2, (40,)), (4, (40,))):
        assert picked["rank"][step] == own_list(asked, said)[0].index(picked["token_id"][step]) + 1


def test_the_helpers_verdicts_stand_beside_the_candidates_that_it_was_asked_about(job):
    found = made(job(recorded=True))
    told = {(row.step, row.token_id): row.harmful for row in found.dropna(subset="harmful").itertuples()}
    assert set(told) <= {(1, 40), (1, 41), (3, 60)} and told[1, 40] == 1.0


def test_without_a_record_the_steps_are_those_of_the_response(job):
    found = made(job(recorded=False))
    assert found.query("picked")["token_id"].tolist() == [40, 70] and found["harmful"].isna().all()


def test_a_record_holds_ids_and_no_text(job):
    job(recorded=True)
    line = json.loads(next(Path(job(recorded=True).input["completions"]).parent.glob("*.jsonl")).read_text().splitlines()[0])
    assert set(line) == {"prompt_id", "step", "depth", "picked", "harmful"}
