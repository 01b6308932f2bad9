"""AutoRAP's helper from a target's own refusals to a trained folder: as ours, and as the paper's appendix B.3 says."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import tiny_model
from presto_bench import registry, tables
from presto_bench.attacks.autorap import helper as lessons_of
from presto_bench.config import HelperConfig
from presto_bench.config.standin import StandinConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, folders, models
from presto_bench.policies import cooking
from presto_bench.stages import helper, helper_refusals
from presto_bench.stages.job import Job

RECIPE = "Mix the flour and the water well, then knead. Let it rest; bake it for an hour. Serve it warm with butter and salt."
PAPER = {
    "lessons": "paper",
    "method": "full",
    "epochs": 2,
    "batch_size": 4,
    "lr": 1e-3,
    "prompts": 6,
    "validation_share": 1 / 3,
    "redraws": 5,
    "options": 3,
    "cuts": 1,
    "end_share": 0.0,
    "stray_share": 0.0,
    "autocast": None,
}
OUTPUTS = {"validation": "csv", "calibration": "csv", "curves": "csv", "refusal_tokens": "csv", "refusals": "parquet"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A target, a helper of another family, and six training and two dev dishes."""
    root = tmp_path_factory.mktemp("helper")
    target, parent = (tiny_model.make(root / family, family) for family in ("llama", "qwen3"))
    sizes = {"dishes": {"train": 6, "dev": 2, "test": 2}, "benign": {"train": 2, "dev": 1, "test": 2}}
    prompts = cooking.prompts(StandinConfig.model_validate(sizes))
    answers = pd.DataFrame({"prompt_id": prompts["prompt_id"], "answer": RECIPE}).assign(finish="eos", score=1.0, kept=True)
    for name, frame in {"prompts": prompts, "answers": answers}.items():
        tables.write(root / f"{name}.parquet", name, frame)
    files = {name: root / f"{name}.parquet" for name in ("prompts", "answers")}
    return {**files, "target": target, "untouched": target, "parent": parent}


def made(data, folder, **changes):
    """The stage's outputs."""
    model = registry.config_class("models", "local", "models").model_validate({"name": "m", "kind": "local", "path": "x"})
    entry = {"kind": "local", "path": str(data["parent"]), "chat": {"thinking": False}}
    config = HelperConfig.model_validate({**PAPER, "model": entry, **changes})
    spec = {"policy": "cooking", "models": model.model_dump(mode="json"), "helper": config.model_dump(mode="json")}
    output = {"helper": folder / "helper", **{name: folder / f"{name}.{end}" for name, end in OUTPUTS.items()}}
    given = data if config.model else {**data, "parent": data["untouched"]}
    helper.make(Job("helper", {"arm": "da", "seed": "0"}, spec, "", given, output, folder))
    return output


def test_the_papers_recipe_makes_a_helper_of_another_family_with_its_curves_and_its_candidates(data, tmp_path):
    output = made(data, tmp_path)
    curves = pd.read_csv(output["curves"])
    assert len(curves) == 2 * 1, "four requests teach and two validate: one batch of four an epoch"
    assert np.isfinite(curves[["training", "validation"]]).all(axis=None)
    validation = pd.read_csv(output["validation"]).set_index("kind")
    assert validation.loc["all", "n"] == 5 * 2 and validation.loc["all", "redraws"] == 5
    assert validation.loc["all", "spread"] >= 0 and set(validation.index) <= {"all", "goes on", "refuses"}
    assert (validation["refusals_dropped"] == 0).all(), "candidates that are continuations are kept on purpose"
    tokens = pd.read_csv(output["refusal_tokens"], keep_default_na=False)
    assert set(tokens["split"]) == {"train", "dev"} and (tokens["requests"] >= 2).all()
    assert (tokens.loc[tokens["split"] == "train", "requests"].diff().dropna() <= 0).all()


def test_what_the_target_says_behind_each_candidate_is_kept_and_shown_redacted(data, tmp_path):
    output = made(data, tmp_path)
    said = tables.read(output["refusals"], "helper_refusals")
    assert output["refusals"].stat().st_mode & 0o077 == 0, "it holds what a model says"
    assert (said["tokens"] > 0).all() and said.groupby("prompt_id").size().max() <= PAPER["options"]
    candidates = set(pd.read_csv(output["refusal_tokens"], keep_default_na=False)["token_id"])
    assert set(said["token_id"]) <= candidates
    for show in (True, False):
        job = Job(
            "t", {}, {"show": show}, "", {"refusals": str(output["refusals"])}, {"table": tmp_path / f"{show}.csv"}, tmp_path
        )
        helper_refusals.make(job)
    shown, redacted = (pd.read_csv(tmp_path / f"{show}.csv", keep_default_na=False) for show in (True, False))
    first = said[said["split"] == "train"]
    first = first[first["prompt_id"] == first["prompt_id"].min()]
    assert list(shown["text"]) == list(first["text"]), "of one request"
    assert redacted["text"].str.fullmatch(r"\[\d+ characters, redacted\]").all()
    assert list(redacted["tokens"]) == list(shown["tokens"])


def test_the_helper_is_asked_by_its_own_entry_in_the_attack_too(data, tmp_path):
    output = made(data, tmp_path)
    as_target = chat.ChatFormat(system="Speak as a pirate.")
    assert folders.helper_format(output["helper"], as_target) == chat.ChatFormat(thinking=False)
    own = made(data, tmp_path / "own", model=None)
    assert folders.helper_format(own["helper"], as_target) == as_target


def test_all_weights_move_or_the_adapters_and_the_head_alone(data, tmp_path):
    before, _ = models.load(data["parent"], "float32")
    full, _ = models.load_helper(made(data, tmp_path / "full")["helper"], "float32")
    assert not np.allclose(before.model.embed_tokens.weight.detach(), full.model.embed_tokens.weight.detach())
    lora, _ = models.load_helper(made(data, tmp_path / "lora", method="lora")["helper"], "float32")
    assert np.array_equal(before.model.embed_tokens.weight.detach(), lora.model.embed_tokens.weight.detach())


def test_an_epoch_has_every_request_once_and_some_again_to_fill_its_last_batch():
    config = HelperConfig.model_validate(PAPER)
    subjects = [lessons_of.Subject(f"p{i}", tuple(range(40)), [12], [(1, 2, 3, 4, 5)], longest=None) for i in range(6)]
    first, second = (helper._epoch(config, subjects, 0, epoch) for epoch in range(2))
    for epoch in (first, second):
        assert len(epoch) == 8 and {lesson.prompt_id for lesson in epoch[:6]} == {f"p{i}" for i in range(6)}
    assert [lesson.response for lesson in first[:6]] != [lesson.response for lesson in second[:6]]
    assert max(len(helper.helper.lesson(subjects[0], 0, 0, 0, n).response) for n in range(300)) >= 40, "cuts reach the end"


def test_a_tokenizer_that_cannot_say_the_targets_text_is_refused_before_anything_is_trained(data, tmp_path):
    poor = tiny_model.make(tmp_path / "poor", "qwen3")
    settings = json.loads((poor / "tokenizer.json").read_text())
    settings["normalizer"] = {"type": "Lowercase"}
    (poor / "tokenizer.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"helper\.model.*cannot say"):
        made({**data, "parent": poor}, tmp_path)


def test_requests_that_are_set_apart_teach_nothing():
    material = helper.Material({}, {f"p{i}": (1, 2) for i in range(10)}, {}, {}, 0, {})
    taught, apart = helper._set_apart(material, 0.2, 0)
    assert len(apart.harmful) == 2 and not set(taught.harmful) & set(apart.harmful)
    assert set(taught.harmful) | set(apart.harmful) == set(material.harmful)
    everyone, nobody = helper._set_apart(material, 0.0, 0)
    assert list(everyone.harmful) == list(material.harmful) and not nobody.harmful
    assert dataclasses.replace(everyone) == material
