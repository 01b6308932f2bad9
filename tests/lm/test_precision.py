"""`auto` precision: what it becomes on a device, and that a run says what its jobs used."""

import json
import logging

import pytest
import torch

import tiny_model
from presto_bench import config
from presto_bench.errors import UserError
from presto_bench.lm import folders, models, precision


@pytest.fixture(autouse=True)
def fresh():
    precision.forget()
    precision._warned_of.cache_clear()
    yield
    precision.forget()
    precision._warned_of.cache_clear()


@pytest.fixture
def folder(tmp_path):
    return tiny_model.make(tmp_path / "model", "llama")


def with_gpu(monkeypatch, has_bfloat16):
    monkeypatch.setattr(precision, "best_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bfloat16 or including_emulation)


def test_auto_is_the_default_of_every_model_arm_helper_and_local_judge(raw_config):
    raw_config["judges"].append(
        {"name": "local", "kind": "local_rubric", "weights": {"kind": "local", "path": "x"}, "template": {"source": "own"}}
    )
    loaded = config.load(raw_config)
    model, arm, judge = loaded.models[0], loaded.arms[1], loaded.judges[-1].model_config_of()
    found = [model.dtype, model.decode_dtype, arm.autocast, loaded.helper.autocast, judge.dtype, judge.decode_dtype]
    assert found == ["auto"] * 6


def test_a_cpu_computes_in_float32_and_casts_nothing(monkeypatch):
    monkeypatch.setattr(precision, "best_device", lambda: "cpu")
    assert precision.resolve("auto") == "float32" and precision.resolve_autocast("auto") is None


@pytest.mark.parametrize(("has_it", "weights", "cast"), [(True, "bfloat16", "bfloat16"), (False, "float32", None)])
def test_a_gpu_computes_in_bfloat16_where_its_hardware_has_it(monkeypatch, has_it, weights, cast):
    with_gpu(monkeypatch, has_it)
    assert precision.resolve("auto") == weights and precision.resolve_autocast("auto") == cast


def test_weights_that_are_all_trained_are_held_in_float32(monkeypatch):
    """A step of 2e-5 is lost in a bfloat16 weight of 0.02, whose neighbours are 1e-4 away."""
    with_gpu(monkeypatch, True)
    assert precision.resolve(precision.of_trained_weights("auto", "full")) == "float32"
    assert precision.resolve(precision.of_trained_weights("auto", "lora")) == "bfloat16"
    assert precision.of_trained_weights("bfloat16", "full") == "bfloat16"  # asked for is obeyed


@pytest.mark.parametrize("asked", ["float32", "bfloat16", "float16"])
def test_an_explicit_precision_is_obeyed_and_remembered(folder, asked):
    model, _ = models.load(folder, asked)
    assert model.dtype == getattr(torch, asked)
    (use,) = precision.used()
    assert (use["asked"], use["used"], use["stored"]) == (asked, asked, "float32")


def test_a_checkpoint_of_another_precision_is_converted_and_the_record_says_so(tmp_path):
    stored = tiny_model.make(tmp_path / "half", "llama", dtype=torch.bfloat16)
    model, _ = models.load(stored, "auto", "cpu")
    assert model.dtype == torch.float32
    (use,) = precision.used()
    assert (use["asked"], use["used"], use["stored"]) == ("auto", "float32", "bfloat16")


def test_what_is_fetched_keeps_the_checkpoints_own_precision_unless_one_is_asked_for(tmp_path):
    tiny_model.make(tmp_path / "half", "llama", dtype=torch.bfloat16)
    for asked, kept in (("auto", "bfloat16"), ("float32", "float32")):
        entry = config.LocalModel(name="m", kind="local", path=str(tmp_path / "half"), dtype=asked)
        models.fetch(entry, tmp_path / asked, tmp_path)
        assert precision.stored(tmp_path / asked) == kept
    assert precision.computed_in(precision.used()) == []  # converted, not computed with


def test_a_precision_that_the_machine_emulates_is_warned_of_once_with_what_it_costs(folder, monkeypatch, caplog):
    monkeypatch.setattr(precision, "slowdown", lambda dtype, device: 7.44)
    with caplog.at_level(logging.WARNING, "presto_bench"):
        for _ in range(2):
            models.load(folder, "bfloat16", "cpu")
    assert [record.getMessage() for record in caplog.records] == [
        "this machine emulates bfloat16: a matmul takes 7.4 times as long as in float32; `auto` would take float32 here"
    ]
    assert precision.used()[0]["slower"] == 7.4


def test_what_emulation_costs_is_measured():
    assert 0.2 < precision.slowdown("float32", "cpu") < 5  # float32 over itself
    assert precision.slowdown("bfloat16", "cpu") > 0


def test_an_unknown_precision_is_refused_with_the_list(raw_config):
    raw_config["models"][0]["dtype"] = "fp8"
    with pytest.raises(UserError, match=r"models\[0\]\.dtype.*'auto', 'float32', 'bfloat16' or 'float16'.*'fp8'"):
        config.load(raw_config)


def test_a_training_under_autocast_counts_as_what_it_casts_to():
    use = {"asked": "auto", "device": "cpu", "stored": "float32", "slower": None}
    weights = [{**use, "what": "base", "used": "float32"}]
    cast = [*weights, {**use, "what": "autocast", "used": "bfloat16", "stored": None}]
    assert precision.jobs_by_precision([weights, weights, cast]) == {"bfloat16": 1, "float32": 2}


def test_a_finished_run_says_what_its_jobs_used(finished):
    folder = finished.path / "results/tiny"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["precision"]) == {"float32"}
    trained = manifest["jobs"]["models/tiny/da/seed0.manifest.json"]
    assert trained["precision"] == ["float32"] and trained["start_seconds"] > 0
    assert manifest["jobs"]["models/tiny/untouched/seed0.manifest.json"]["precision"] == []
    of_training = json.loads((folder / "models/tiny/da/seed0.manifest.json").read_text())
    asked = {use["what"].split("/")[-1]: (use["asked"], use["used"]) for use in of_training["precision"]}
    assert asked == {"seed0": ("auto", "float32"), "autocast": ("auto", None)}
    assert of_training["spec"]["models"]["dtype"] == "auto"  # the word stays
    assert "different precisions" not in (folder / "front.rst").read_text()


def test_a_tokenizer_is_read_without_the_weights(folder):
    (folder / "model.safetensors").unlink()
    assert folders.load_tokenizer(folder).chat_template
    assert precision.stored(folder) is None
