"""SafeDecoding-like arms: the blend is the paper's, and two models behind one cache say what they say without one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_model
from presto_bench.attacks.autorap import attack as autorap
from presto_bench.errors import UserError
from presto_bench.lm import blended, chat, folders, models
from presto_bench.lm.decoding import continue_rows
from presto_bench.measures.ranks import top_k

FAMILIES = ["llama", "qwen3", "gemma3"]


def by_the_paper(served, expert, alpha, sample_space):
    """token -> P, by SafeDecoding's own steps: grow the two top lists until they share enough, then mix."""
    p, q = served.softmax(-1), expert.softmax(-1)
    first, second = (logits.sort(descending=True, stable=True).indices.tolist() for logits in (served, expert))
    shared: set[int] = set()
    for size in range(1, len(p) + 1):
        shared = set(first[:size]) & set(second[:size])
        if len(shared) >= sample_space:
            break
    mixed = {token: float((p + alpha * (q - p))[token].clamp(min=0)) for token in shared}
    total = sum(mixed.values())
    return {token: value / total for token, value in mixed.items()} if total else {}


@settings(max_examples=200)
@given(seed=st.integers(0, 10**6), alpha=st.floats(0, 5), sample_space=st.integers(1, 12))
def test_probabilities_are_those_of_the_paper(seed, alpha, sample_space):
    served, expert = torch.randn(2, 12, generator=torch.Generator().manual_seed(seed)) * 2
    found = blended.blend(served[None], expert[None], alpha, sample_space)[0].softmax(-1)
    expected = by_the_paper(served, expert, alpha, sample_space)
    if not expected:  # nothing that both like is left: the mixture is cut everywhere
        return
    for token in range(12):
        assert float(found[token]) == pytest.approx(expected.get(token, 0.0), abs=1e-5)


@given(seed=st.integers(0, 10**6))
def test_an_expert_that_is_the_model_itself_changes_no_rank(seed):
    logits = torch.randperm(30, generator=torch.Generator().manual_seed(seed))[None] / 3
    found = blended.blend(logits, logits, 3.0, 5)
    assert found.argsort(descending=True).tolist() == logits.argsort(descending=True).tolist()


def two(family):
    tokenizer = tiny_model.tokenizer(family)
    served, expert = (tiny_model.model(family, len(tokenizer)).eval() for _ in range(2))
    with torch.no_grad():
        for parameter in expert.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        served.get_output_embeddings().weight.mul_(3)
    return served, expert, tokenizer


ROWS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14], [15, 16, 17, 18, 19]]


@torch.inference_mode()
def slowly(served, expert, row, steps):
    """Greedy continuation, both models read whole at every step."""
    ids = list(row)
    for _ in range(steps):
        logits = [model(input_ids=torch.tensor([ids]), use_cache=False).logits[:, -1] for model in (served, expert)]
        ids.append(int(blended.blend(*logits, 3.0, 5).argmax()))
    return ids[len(row) :]


@pytest.mark.parametrize("family", FAMILIES)
def test_decoding_with_one_cache_is_decoding_without(family):
    served, expert, _ = two(family)
    both = blended.Blended(served, expert, 3.0, 5)
    found = continue_rows(both, ROWS, 12, [3])
    for row, continuation in zip(ROWS, found, strict=True):
        expected = slowly(served, expert, row, 12)
        expected = expected[: expected.index(3)] if 3 in expected else expected
        assert list(continuation.ids) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_ranks_behind_a_cache_that_takes_tokens_back_are_the_plain_ones(family):
    served, expert, tokenizer = two(family)
    both = blended.Blended(served, expert, 3.0, 5)
    rows = [chat.encode(tokenizer, prompt, chat.ChatFormat(), "Sure") for prompt in ("How?", "And what about this one?")]
    ranker = autorap.Ranker(both, rows, 20)
    for responses in ([(9, 10), (11,)], [(9, 12, 13), (11, 14)], [(9,), (15,)]):
        asked = {i: (*row.prefill_ids, *more) for i, (row, more) in enumerate(zip(rows, responses, strict=True))}
        found = ranker(asked)
        for i, ids in asked.items():
            whole = torch.tensor([[*rows[i].prompt_ids, *ids]])
            with torch.inference_mode():
                logits = both(input_ids=whole, use_cache=False).logits[:, -1]
            assert found[i] == top_k(logits, 20)[0].tolist()


def test_it_is_saved_beside_the_weights_and_loads_as_both(tmp_path):
    served, expert, tokenizer = two("llama")
    for name, model in (("served", served), ("expert", expert)):
        models.save(model, tokenizer, tmp_path / name)
    folders.defend_with_expert(tmp_path / "served", tmp_path / "expert", tmp_path / "arm", 3.0, 5)
    loaded, _ = models.load(tmp_path / "arm", "float32")
    ids = torch.tensor([ROWS[0]], device=loaded.device)
    with torch.inference_mode():
        expected = blended.Blended(served, expert, 3.0, 5)(input_ids=ids.cpu()).logits
        torch.testing.assert_close(loaded(input_ids=ids).logits.cpu(), expected)
    assert folders.chat_format(tmp_path / "arm", chat.ChatFormat()) == chat.ChatFormat()  # no header comes again


def test_an_expert_of_another_shape_is_refused(tmp_path):
    for name, family in (("served", "llama"), ("expert", "qwen3")):
        tokenizer = tiny_model.tokenizer(family)
        models.save(tiny_model.model(family, len(tokenizer)), tokenizer, tmp_path / name)
    folders.defend_with_expert(tmp_path / "served", tmp_path / "expert", tmp_path / "arm", 3.0, 5)
    with pytest.raises(UserError, match="take two arms of one model"):
        models.load(tmp_path / "arm", "float32")
