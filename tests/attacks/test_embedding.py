"""The attack on embeddings: perturbations stay in their ball and where they may be, the prefill grows likelier, and the answer begins with it."""

import pytest
import test_gcg
import torch
from torch.nn import functional as F

from presto_bench.attacks import embedding
from presto_bench.attacks.base import Request
from presto_bench.config.attacks import Embedding
from presto_bench.errors import UserError
from presto_bench.lm import chat

REQUEST = test_gcg.REQUEST


def config(**changes):
    base = {"name": "embedding", "kind": "embedding", "steps": 12, "max_new_tokens": 8}
    return Embedding.model_validate(base | changes)


def encoded(setting):
    return chat.encode(setting.tokenizer, REQUEST.prompt, setting.chat_format, REQUEST.prefill)


@pytest.mark.parametrize("family", test_gcg.FAMILIES)
@pytest.mark.parametrize("perturbed", ["all", "prompt", "prefill"])
def test_no_token_leaves_its_ball_and_no_other_token_moves(family, perturbed):
    setting = test_gcg.setting_of(family)
    row, asked = encoded(setting), config(perturbed=perturbed, epsilon=0.5, step_size=0.7)
    found, losses = embedding.perturb(asked, setting.model, row)
    embed = setting.model.get_input_embeddings()
    with torch.no_grad():
        every = embed(torch.arange(embed.weight.shape[0]))
        moved = (found - embed(torch.tensor([row.ids])))[0].norm(dim=-1)
    radius = 0.5 * every.norm(dim=-1).mean()
    assert (moved <= radius * 1.0001).all()
    places = torch.arange(len(row.ids))
    fixed = {"all": places < 0, "prompt": places >= row.prefill_start, "prefill": places < row.prefill_start}[perturbed]
    assert (moved[fixed] == 0).all() and (moved[~fixed] > 0).any()
    assert len(losses) == asked.steps + 1


def test_it_starts_from_the_prefills_own_loss_and_ends_with_the_lowest():
    setting = test_gcg.setting_of("llama")
    row = encoded(setting)
    found, losses = embedding.perturb(config(), setting.model, row)
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        plain, best = (setting.model(**given).logits[0] for given in ({"input_ids": ids}, {"inputs_embeds": found}))
    span = slice(row.prefill_start - 1, row.prefill_end - 1)
    own = [float(F.cross_entropy(logits[span], ids[0, row.prefill_start :])) for logits in (plain, best)]
    assert own[0] == pytest.approx(losses[0], abs=1e-5) and own[1] == pytest.approx(min(losses), abs=1e-5)
    assert min(losses) < losses[0] - 0.1


def test_without_a_perturbation_the_answer_is_the_greedy_one():
    """A ball so small that nothing changes: the same answer as prompt and prefill have."""
    from presto_bench.lm.decoding import continue_rows

    setting = test_gcg.setting_of("qwen3")
    (found,) = embedding.run(config(epsilon=1e-9), "default", [REQUEST], setting)
    (plain,) = continue_rows(setting.model, [encoded(setting).ids], 8, setting.end_ids)
    assert found.token_ids == plain.ids and found.finish == plain.finish
    assert found.prefill_ids == encoded(setting).prefill_ids


def test_a_request_without_a_prefill_is_refused():
    with pytest.raises(UserError, match="no prefill"):
        embedding.run(config(), "default", [Request("id0", "Soup?", "")], test_gcg.setting_of("llama"))
