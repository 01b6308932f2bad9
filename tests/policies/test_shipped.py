"""Answers that come with the package: they belong to one model and its settings, and are what that model would say."""

import json
import shutil

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from presto_bench import config as typed
from presto_bench.config.standin import StandinConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, models
from presto_bench.lm.forward import response_logits
from presto_bench.policies import cooking, shipped
from presto_bench.runs import access

ANSWERS = typed.AnswersConfig(source="shipped")
CONFIG = "config/config.yaml"


@pytest.fixture
def demo(root):
    return typed.read(root / CONFIG)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the shipped files that a test may edit."""
    copy = tmp_path / "answers"
    shutil.copytree(shipped.FOLDER, copy)
    monkeypatch.setattr(shipped, "FOLDER", copy)
    shipped._provenances.cache_clear()
    yield copy
    shipped._provenances.cache_clear()


def told(config):
    return [item for item in access.missing(config) if item.key == "standin.answers.source"]


def with_model(config, **changed):
    return config.model_copy(update={"models": [config.models[0].model_copy(update=changed)]})


def test_the_demo_takes_them_and_every_request_has_one(demo):
    assert told(demo) == []
    frame = cooking.answered(cooking.prompts(StandinConfig()))
    path = shipped.file_of(demo.models[0])
    shipped.require_all(shipped.read(path), list(frame["prompt_id"]), path)


@pytest.mark.parametrize(
    ("changed", "told_of"),
    [
        ({"sha256": "0" * 64}, "no answers of this model"),
        ({"sampling": typed.SamplingConfig(temperature=0.7)}, "other settings: sampling"),
        ({"chat": typed.ChatConfig(system="Be brief.")}, "other settings: chat"),
    ],
)
def test_those_of_another_model_are_refused_before_any_job(demo, changed, told_of):
    (item,) = told(with_model(demo, **changed))
    assert told_of in item.what
    assert "source: own" in item.remedy


def test_edited_ones_are_refused_before_any_job(demo, folder):
    path = shipped.file_of(demo.models[0])
    path.write_text(path.read_text().replace("salt", "sand", 1))
    (item,) = told(demo)
    assert "was edited" in item.what


def test_a_request_without_one_is_named(demo, folder):
    path = shipped.file_of(demo.models[0])
    with pytest.raises(UserError, match="no shipped answer to 1 of 2 requests"):
        shipped.require_all(shipped.read(path), [next(iter(shipped.read(path))), "0123456789abcdef"], path)


def test_writing_and_reading_give_back_the_same(tmp_path):
    answers = {
        "b": shipped.Answer("b", 'Say "hi",\nthen go.', "eos", (5, 6), -0.25),
        "a": shipped.Answer("a", "", "length", (), 0.0),
    }
    shipped.write(tmp_path / "x.csv", answers, {"settings": {}})
    assert shipped.read(tmp_path / "x.csv") == answers
    assert json.loads((tmp_path / "x.json").read_text())["file"] == "x.csv"


def check(smollm2, config, wanted):
    """Each token is one that the sampler could draw, and the likelihoods are the recorded ones."""
    model, tokenizer = models.load(smollm2, "float32")
    sampling = config.models[0].sampling
    penalty = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)
    frame = cooking.prompts(StandinConfig()).set_index("prompt_id")
    differences = []
    for answer in wanted:
        assert chat.decode(tokenizer, list(answer.ids)) == answer.text
        ends = [tokenizer.eos_token_id] if answer.finish == "eos" else []
        row = chat.encode(tokenizer, frame["prompt"][answer.prompt_id], chat.ChatFormat(), "", [*answer.ids, *ends])
        (logits,) = response_logits(model, [row], tokenizer.eos_token_id)
        for i, token in enumerate(row.response_ids):
            seen = torch.tensor([row.ids[: row.response_start + i]])
            penalised = penalty(seen, logits[i : i + 1].clone())[0]
            assert int((penalised > penalised[token]).sum()) < sampling.top_k
        own = logits.log_softmax(-1).gather(-1, torch.tensor(row.response_ids)[:, None])[: len(answer.ids), 0]
        differences.append(float(own.mean()) - answer.log_likelihood)
    assert abs(sum(differences) / len(differences)) < 0.01


def test_the_model_would_say_them(smollm2, demo):
    """A dozen of them; the slow test reads all."""
    answers = list(shipped.read(shipped.file_of(demo.models[0])).values())
    check(smollm2, demo, answers[::60])


@pytest.mark.slow
def test_the_model_would_say_all_of_them(smollm2, demo):
    check(smollm2, demo, shipped.read(shipped.file_of(demo.models[0])).values())
