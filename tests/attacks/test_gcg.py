"""GCG: every step is the naive definition's, what is optimised is what is asked, a planted suffix is found, and a killed search goes on."""

import itertools
import json
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

import tiny_model
import zoo
from presto_bench.attacks.base import Request, Setting
from presto_bench.attacks.gcg import attack, search
from presto_bench.config import SamplingConfig
from presto_bench.config.attacks import Gcg
from presto_bench.errors import UserError
from presto_bench.lm import chat, models

FAMILIES = ["llama", "llama2", "qwen3", "gemma3"]
REQUEST = Request("id0", "How do I make pancakes?", "Sure! To begin, take")


def setting_of(family, work=None, **changes):
    tokenizer = tiny_model.tokenizer(family)
    model = tiny_model.model(family, len(tokenizer), **changes)
    form = chat.ChatFormat(thinking=False) if family == "qwen3" else chat.ChatFormat()
    return Setting(model, tokenizer, form, SamplingConfig(), chat.end_of_turn(tokenizer, model), 1024, work=work)


def gcg(**changes):
    base = {
        "name": "gcg",
        "kind": "gcg",
        "steps": 4,
        "candidates": 12,
        "top_k": 8,
        "suffix": "! ! ! ! ! !",
        "max_new_tokens": 8,
    }
    return Gcg.model_validate(base | changes)


def begun(config, setting, **losses):
    made, start = attack.problem(config, REQUEST, setting)
    return made, start, search.Losses(setting.model, made, config.candidates, **losses)


def naive_loss(setting, made, suffix):
    """The target's mean cross-entropy from one whole forward pass."""
    row = torch.tensor([[*made.before, *suffix, *made.behind, *made.target]])
    with torch.no_grad():
        logits = setting.model(input_ids=row).logits[0]
    return F.cross_entropy(logits[-len(made.target) - 1 : -1], row[0, -len(made.target) :])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_step_takes_the_best_of_its_candidates_as_a_naive_evaluation_has_them(family):
    setting, config = setting_of(family), gcg()
    made, start, losses = begun(config, setting)
    assert losses.prefix or family == "gemma3", "what stands before the suffix is read once"
    steps = list(search.search(losses, start, config))
    assert [step.step for step in steps] == [0, 1, 2, 3, 4]
    assert steps[0].loss == pytest.approx(float(naive_loss(setting, made, start)), abs=1e-5)
    for before, after in itertools.pairwise(steps):
        looked_at = search.candidates(search.Losses(setting.model, made, 5), before.suffix, config, after.step)
        values = torch.stack([naive_loss(setting, made, one) for one in looked_at])
        assert after.suffix == looked_at[int(values.argmin())]
        assert after.loss == pytest.approx(float(values.min()), abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_that_of_a_one_hot_suffix(family):
    setting, config = setting_of(family), gcg()
    made, start, losses = begun(config, setting)
    row = torch.tensor([[*made.before, *start, *made.behind, *made.target]])
    table = setting.model.get_input_embeddings()(torch.arange(len(made.allowed))).detach()
    hot = F.one_hot(row, len(made.allowed)).float().requires_grad_()
    logits = setting.model(inputs_embeds=hot @ table).logits[0]
    F.cross_entropy(logits[-len(made.target) - 1 : -1], row[0, -len(made.target) :]).backward()
    at = len(made.before)
    torch.testing.assert_close(losses.gradient(start), hot.grad[0, at : at + len(start)], atol=1e-5, rtol=1e-3)


def test_a_shared_prefix_and_small_batches_change_no_loss():
    setting, config = setting_of("qwen3"), gcg(candidates=9)
    made, start, losses = begun(config, setting)
    rng = search.draws.generator("test")
    several = search.proposals(losses.gradient(start), start, made.allowed, 8, 9, rng)
    whole = losses.of(several)
    alone = search.Losses(setting.model, made, 2, shares_prefix=False)
    assert not alone.prefix
    torch.testing.assert_close(alone.of(several), whole, atol=1e-5, rtol=1e-5)


def test_proposals_differ_in_one_token_that_is_among_the_best_there():
    gradient = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    allowed = torch.ones(40, dtype=torch.bool)
    allowed[::3] = False
    suffix = (1, 2, 4, 5, 7)
    rng = search.draws.generator("test")
    for one in search.proposals(gradient, suffix, allowed, 6, 200, rng):
        changed = [at for at, (a, b) in enumerate(zip(one, suffix, strict=True)) if a != b]
        assert len(changed) <= 1, "it may draw the token that stands there"
        for at in changed:
            better = (gradient[at][allowed] < gradient[at, one[at]]).sum()
            assert allowed[one[at]] and better < 6


class Planted(torch.nn.Module):
    """Says the target the more surely the more of a secret suffix it has read: each position adds its own share, so that greedy coordinates find it."""

    _is_stateful = True  # nothing of it lies in keys and values
    device = torch.device("cpu")

    def __init__(self, setting, made, secret):
        super().__init__()
        self.config = setting.model.config
        self.embed = torch.nn.Embedding(self.config.vocab_size, 32)
        self.head = torch.nn.Linear(2, self.config.vocab_size, bias=False)
        self.secret, self.made = secret, made
        torch.manual_seed(0)
        torch.nn.init.orthogonal_(self.embed.weight)
        self.embed.weight.data = F.normalize(self.embed.weight.data, dim=1)
        self.head.weight.data.zero_()
        self.head.weight.data[list(made.target), 0] = 1.0

    def get_input_embeddings(self):
        return self.embed

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids=None, inputs_embeds=None, **kwargs):
        embedded = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        at = len(self.made.before)
        read = embedded[:, at : at + len(self.secret)]
        found = (read * self.embed(torch.tensor(self.secret))).sum((1, 2))
        hidden = torch.stack([found, torch.zeros_like(found)], -1)[:, None].expand(-1, embedded.shape[1], -1)
        return SimpleNamespace(logits=self.head(hidden))


def test_a_planted_suffix_is_found():
    """Any one token in place, the loss falls; so the search must end with all of them, or with tokens that are as good."""
    setting = setting_of("llama")
    config = gcg(steps=60, candidates=256, top_k=64, suffix="milk butter sugar flour")
    made, start, _ = begun(config, setting)
    whole = setting.tokenizer.encode(" onion garlic lemon cream", add_special_tokens=False)
    secret = tuple(whole[: len(start)])
    assert len(secret) == len(start) and made.survives([secret])[0]
    model = Planted(setting, made, secret)
    steps = list(search.search(search.Losses(model, made, 256), start, config))
    assert search.best(steps).suffix == secret
    assert search.best(steps).loss < steps[0].loss


@pytest.mark.parametrize("name", sorted(zoo.ZOO))
def test_in_every_family_what_is_asked_is_what_was_optimised(name, tmp_path):
    """The chosen suffix as text, through our own chat path, is the ids that the search worked on."""
    model, tokenizer = models.load(zoo.ZOO[name].make(tmp_path / "model"), "float32")
    form = chat.ChatFormat()
    setting = Setting(model, tokenizer, form, SamplingConfig(), chat.end_of_turn(tokenizer, model), 1024)
    for spaces in (False, True):
        config = gcg(steps=2, space_before_target=spaces, space_behind_suffix=spaces)
        made, start, losses = begun(config, setting)
        chosen = search.best(list(search.search(losses, start, config))).suffix
        text = tokenizer.decode(list(chosen), clean_up_tokenization_spaces=False).strip()
        asked = chat.encode_prompt(tokenizer, f"{REQUEST.prompt} {text}{' ' if spaces else ''}", form)
        assert asked == [*made.before, *chosen, *made.behind]


def test_a_killed_search_goes_on_from_its_last_whole_step_to_the_same_suffix(tmp_path):
    config = gcg(steps=5)
    whole = tmp_path / "whole"
    whole.mkdir()
    (expected,) = attack.run(config, "default", [REQUEST], setting_of("llama", whole))
    path = whole / "search-id0.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert path.stat().st_mode & 0o077 == 0 and [json.loads(line)["step"] for line in lines] == list(range(6))
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "search-id0.jsonl").write_text("".join(lines[:3]) + lines[3][:20])
    (found,) = attack.run(config, "default", [REQUEST], setting_of("llama", killed))
    assert found == expected
    assert (killed / "search-id0.jsonl").read_text() == "".join(lines)


def test_the_best_suffix_of_all_steps_is_asked_and_not_the_last_one():
    steps = [search.Step(i, (i,), loss, 1) for i, loss in enumerate([3.0, 1.0, 2.0, 1.0])]
    assert search.best(steps).suffix == (1,)


@pytest.mark.parametrize(
    ("changes", "names"),
    [({"suffix": "   "}, "suffix"), ({"max_new_tokens": 2000}, "context")],
)
def test_what_cannot_be_searched_is_refused_before_the_first_step(changes, names):
    with pytest.raises(UserError, match=names):
        attack.problem(gcg(**changes), REQUEST, setting_of("llama2"))


def test_a_request_without_a_target_is_refused():
    with pytest.raises(UserError, match="target"):
        attack.problem(gcg(), Request("id0", "Soup?", ""), setting_of("llama"))


def test_a_target_of_ones_own_is_the_same_for_every_request():
    made, _ = attack.problem(gcg(target="Sure, here is"), REQUEST, setting_of("llama"))
    assert setting_of("llama").tokenizer.decode(list(made.target)) == "Sure, here is"
