"""vLLM as the engine of written data, where it is installed: the same texts as transformers writes, from the same ids."""

import sys

import pytest

from presto_bench.config import SamplingConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, folders
from presto_bench.lm.writing import Writer, write

PROMPTS = {"a": "Why is the sky blue?", "b": "Name three animals that can fly.", "c": "What is two and two?"}


def written(folder, work, engine, sampling):
    writer = Writer(folder, "float32", chat.ChatFormat(), sampling, 24, 2, "test", engine)
    return write(writer, PROMPTS, work).set_index("prompt_id")


def test_without_vllm_the_mend_is_named(smollm2, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)  # as if it were not installed
    with pytest.raises(UserError, match="pip install vllm"):
        written(smollm2, tmp_path, "vllm", SamplingConfig(temperature=0))


@pytest.fixture(scope="module")
def engine():
    pytest.importorskip("vllm", reason="vLLM is not among what presto-bench installs")


def test_greedy_texts_are_those_of_transformers(engine, smollm2, tmp_path):
    greedy = SamplingConfig(temperature=0)
    ours, theirs = (written(smollm2, tmp_path / name, name, greedy) for name in ("transformers", "vllm"))
    assert theirs["text"].to_dict() == ours["text"].to_dict()
    assert theirs["finish"].to_dict() == ours["finish"].to_dict()


def test_draws_hang_on_the_request_and_a_second_run_goes_on(engine, smollm2, tmp_path):
    sampled = SamplingConfig(temperature=1.0, top_k=50)
    first, second = (written(smollm2, tmp_path / name, "vllm", sampled) for name in ("one", "two"))
    assert first["text"].to_dict() == second["text"].to_dict()
    again = written(smollm2, tmp_path / "one", "vllm", sampled)  # every batch is there: no engine is started
    assert again["text"].to_dict() == first["text"].to_dict()
    assert folders.load_tokenizer(smollm2).eos_token not in " ".join(first["text"])
