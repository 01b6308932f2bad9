"""Top-10 lists step by step, on a tiny model: ranks as everywhere, picks as guided RAP's."""

import torch

import tiny_model
from presto_bench.attacks import guided
from presto_bench.attacks.base import Request, Setting
from presto_bench.config import SamplingConfig
from presto_bench.config.attacks import Guided
from presto_bench.lm import chat, vocabulary
from presto_bench.measures import top_lists
from presto_bench.measures.ranks import top_ids

TOKENIZER = tiny_model.tokenizer("llama")
FORM = chat.ChatFormat()
REQUEST = Request("p", "How do I make pancakes?", "Sure, take flour")


def models():
    torch.manual_seed(3)
    arm, parent = (tiny_model.model("llama", len(TOKENIZER)) for _ in range(2))
    with torch.no_grad():
        arm.get_output_embeddings().weight.mul_(3)
        parent.get_output_embeddings().weight.add_(0.3 * torch.randn_like(parent.get_output_embeddings().weight))
    return arm, parent


def test_picks_are_guided_raps_and_lists_are_the_best_ten():
    arm, parent = models()
    ends = chat.end_of_turn(TOKENIZER, arm)
    barred = vocabulary.barred(TOKENIZER, arm.config.vocab_size, ends)
    row = chat.encode(TOKENIZER, REQUEST.prompt, FORM, REQUEST.prefill)
    found = top_lists.lists(arm, row.ids, 6, barred, parent, row.ids)
    setting = Setting(arm, TOKENIZER, FORM, SamplingConfig(), ends, 1024, parent=parent)
    entry = Guided(name="g", kind="guided", k=[20], max_steps=6, prefill=[True], nulls=[])
    (completion,) = guided.run(entry, "k20_prefill", [REQUEST], setting)
    picked = tuple(step.picked_id for step in found)
    assert picked[: len(completion.token_ids)] == completion.token_ids
    assert tuple(step.picked_rank for step in found)[: len(completion.ranks)] == completion.ranks
    assert len({step.picked_rank for step in found}) > 1, "not always the likeliest"
    with torch.no_grad():
        logits = arm(input_ids=torch.tensor([[*row.ids, *picked[:3]]])).logits[0, -1]
    assert list(found[3].ids) == top_ids(logits, 10)
    assert torch.allclose(torch.tensor(found[3].probabilities), logits.softmax(-1)[list(found[3].ids)], rtol=1e-4)


def test_without_a_guide_the_likeliest_goes_on():
    arm, _ = models()
    row = chat.encode(TOKENIZER, REQUEST.prompt, FORM)
    found = top_lists.lists(arm, row.ids, 4)
    assert all(step.picked_rank == 1 and step.picked_id == step.ids[0] for step in found)
