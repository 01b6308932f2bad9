"""A random network counts as no defence: weights that are not the folder's own are refused by name."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

import tiny_model
from presto_bench.config.models import LocalModel
from presto_bench.errors import UserError
from presto_bench.lm import folders, models
from presto_bench.runs import access


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("good") / "model")


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "model")


def rewrite(folder, change):
    """Change the mapping name -> tensor of a folder's weights."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def settings(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "base_model.model.", "_fsdp_wrapped_module."])
def test_a_wrapper_s_prefix_is_named_with_how_to_save_without_it(folder, prefix):
    rewrite(folder, lambda weights: {prefix + name: value for name, value in weights.items()})
    with pytest.raises(UserError, match="not in its files") as error:
        models.load(folder, "float32")
    assert prefix in error.value.mend


def test_a_missing_layer_is_named(folder):
    rewrite(folder, lambda weights: {name: value for name, value in weights.items() if "layers.1.mlp" not in name})
    with pytest.raises(UserError, match=r"model\.layers\.1\.mlp\.down_proj\.weight"):
        models.load(folder, "float32")


def test_a_layer_too_many_is_named(folder):
    settings(folder, num_hidden_layers=1)
    with pytest.raises(UserError, match=r"no part of the model: model\.layers\.1\."):
        models.load(folder, "float32")


def test_a_tensor_of_another_shape_is_refused(folder):
    settings(folder, intermediate_size=64)
    with pytest.raises(UserError, match="not a loadable model"):
        models.load(folder, "float32")


def test_an_adapter_s_weights_among_the_model_s_are_refused(folder):
    rewrite(
        folder,
        lambda weights: weights | {"model.layers.0.self_attn.q_proj.lora_A.weight": next(iter(weights.values()))[:2].clone()},
    )
    with pytest.raises(UserError, match="lora_A") as error:
        models.load(folder, "float32")
    assert "merge" in error.value.mend


def test_tied_heads_are_not_missing(tmp_path):
    tokenizer = tiny_model.tokenizer("llama")
    tied = tiny_model.model("llama", len(tokenizer), tie_word_embeddings=True)
    models.save(tied, tokenizer, tmp_path / "tied")
    assert "lm_head.weight" not in load_file(tmp_path / "tied/model.safetensors")
    models.load(tmp_path / "tied", "float32")


def test_a_new_head_is_the_helper_s_to_make_and_nobody_else_s(folder):
    helper, tokenizer = models.load_helper(folder, "float32", new_head=True)
    with pytest.raises(UserError, match=r"score\.weight"):
        models.load_helper(folder, "float32")
    models.save(helper, tokenizer, folder.parent / "helper")
    models.load_helper(folder.parent / "helper", "float32")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda folder: settings(folder, quantization_config={"quant_method": "gptq", "bits": 4}), "quantised .gptq."),
        (lambda folder: (folder / "config.json").rename(folder / "adapter_config.json"), "an adapter, not a model"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "pickles"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"no \*\.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "no JSON"),
    ],
)
def test_a_folder_that_no_stage_can_use_is_refused_before_any_job(folder, root, spoil, what):
    spoil(folder)
    with pytest.raises(UserError, match=what):
        models.fetch(LocalModel(name="m", kind="local", path=str(folder)), folder.parent / "fetched", folder.parent)
    obstacle = folders.obstacle(folder)
    assert obstacle is not None
    (missing,) = access._folder("models.m.path", str(folder))
    assert obstacle[0] in str(missing) and obstacle[1] in str(missing)


def test_a_gguf_file_that_transformers_cannot_read_is_refused_by_name(tmp_path):
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "odd.gguf", "unheard_of")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UserError, match="cannot read this GGUF file") as error:
        models._read_gguf(tmp_path / "odd.gguf", "float32")
    assert "unheard_of" in error.value.what
