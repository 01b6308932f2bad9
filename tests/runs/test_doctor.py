"""`presto-bench doctor`: what is unusual about a model is said in words, and what cannot be used is refused with the mend."""

import math

import pytest
import torch

import zoo
from presto_bench import cli
from presto_bench.config.models import ChatFormat
from presto_bench.runs import doctor

# name in the zoo -> what its doctor must say
FOUND = {
    "sentencepiece": ["puts a space before each text"],
    "tiktoken": ["control tokens are not among its named special ones"],
    "markers_not_special": ["control tokens are not among its named special ones"],
    "no_eos": [],
    "eos_is_not_the_end_of_turn": [
        "ends a turn with <|im_end|>, tokenizer or generation config with <|endoftext|>",
        "training teaches <|im_end|>",
    ],
    "padded_embeddings": ["61 rows beyond the tokenizer"],
    "dated": ["writes today's date", "every prompt carries 2025-01-01"],
    "open_reasoning": ["opens a block of reasoning", "closed, empty"],
    "no_system_role": ["no system role"],
    "hybrid_attention": [],
}


@pytest.mark.parametrize("name", zoo.ZOO)
def test_what_is_unusual_is_said_and_the_model_can_be_used(name, tmp_path, capsys):
    folder = zoo.ZOO[name].make(tmp_path / "model")
    assert cli.main(["doctor", str(folder)]) == 0
    said = capsys.readouterr().out
    assert all(what in said for what in FOUND[name]), said
    assert "it can be used as it is" in said


def test_a_usual_model_has_nothing_unusual(tmp_path, capsys):
    tidy = zoo.Animal(
        lambda: zoo._wrapped(
            zoo._bytes(None), zoo.CHATML_OF_LLAMA, zoo.CHATML_MARKS[:2], eos_token="<|im_end|>", bos_token="<|im_start|>"
        ),
        generation_end="<|im_end|>",
    )
    assert cli.main(["doctor", str(tidy.make(tmp_path / "model"))]) == 0
    assert "nothing unusual" in capsys.readouterr().out


def test_a_model_without_numbers_is_refused():
    animal = zoo.ZOO["no_eos"]
    tokenizer = animal.tokenizer()
    import tiny_model

    broken = tiny_model.model("llama", len(tokenizer))
    with torch.no_grad():
        broken.get_output_embeddings().weight.fill_(math.nan)
    refused = [finding for finding in doctor.of(broken, tokenizer, ChatFormat()) if not finding.ok]
    assert len(refused) == 1 and "not finite" in refused[0].what


def test_a_tokenizer_that_outgrew_its_embeddings_is_refused(tmp_path, capsys):
    animal = zoo.ZOO["padded_embeddings"]
    smaller = zoo.Animal(animal.tokenizer, more_rows=-40)
    assert cli.main(["doctor", str(smaller.make(tmp_path / "model"))]) == 1
    assert "REFUSED" in (said := capsys.readouterr().out) and "resize_token_embeddings" in said


def test_a_marker_without_an_embedding_is_said_and_does_no_harm(tmp_path, capsys):
    """As Gemma 3's marker of an image, in the model that cannot see."""
    markless = zoo.Animal(zoo.ZOO["no_eos"].tokenizer, more_rows=-1)
    assert cli.main(["doctor", str(markless.make(tmp_path / "model"))]) == 0
    assert "no row in its embeddings" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["hub:some/model", "hub:some/model@main"])
def test_a_hub_s_model_is_named_with_its_commit(model, capsys):
    assert cli.main(["doctor", model]) == 1
    assert "named with its commit" in capsys.readouterr().out


def test_a_folder_that_holds_no_model_is_refused(tmp_path, capsys):
    assert cli.main(["doctor", str(tmp_path)]) == 1
    assert "config.json is missing" in capsys.readouterr().out
