"""AutoRAP with caches, batches and lazy labels is AutoRAP without them: every pick, backtrack and end, on real models."""

import pytest
import test_search
import torch
from transformers import AutoModelForSequenceClassification

import tiny_model
from presto_bench.attacks.autorap import attack as autorap
from presto_bench.attacks.base import Request, Setting
from presto_bench.config import SamplingConfig
from presto_bench.config.attacks import AutoRap
from presto_bench.lm import chat, folders
from presto_bench.measures.ranks import top_k, without

FAMILIES = ["llama", "qwen3", "gemma3"]
PROMPTS = ["How do I make pancakes?", "Soup?", "I want to make a very long and slow beef stew tonight."]
REQUESTS = [Request(f"id{i}", prompt, "Sure! To begin, take") for i, prompt in enumerate(PROMPTS)]
STEPS = 40


def helper_of(family, tokenizer, folder):
    """A random helper, saved as a folder; its labels are mixed, so that searches go forth and back."""
    config = tiny_model.model(family, len(tokenizer)).config
    config.num_labels = 2
    torch.manual_seed(4)
    made = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        made.score.weight.mul_(30)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def setting_of(family, folder, helper_family=None):
    tokenizer = tiny_model.tokenizer(family)
    model = tiny_model.model(family, len(tokenizer))
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(3)
    helper_tokenizer = tokenizer if helper_family is None else tiny_model.tokenizer(helper_family)
    helper = helper_of(helper_family or family, helper_tokenizer, folder)
    form = chat.ChatFormat(thinking=False) if family == "qwen3" else chat.ChatFormat()
    ends = chat.end_of_turn(tokenizer, model)
    return Setting(model, tokenizer, form, SamplingConfig(), ends, 1024, helper=helper)


class Uncached(test_search.World):
    """The definition's target and helper: whole texts, one at a time, no cache."""

    def __init__(self, setting, request, k, barred=()):
        self.setting, self.request, self.k, self.barred = setting, request, k, barred
        self.helper = AutoModelForSequenceClassification.from_pretrained(setting.helper)
        self.tokenizer = folders.load_tokenizer(setting.helper)
        self.ranked_calls, self.harmful_calls = [], []

    @torch.no_grad()
    def rank(self, ids):
        row = [*chat.encode_prompt(self.setting.tokenizer, self.request.prompt, self.setting.chat_format), *ids]
        logits = self.setting.model(input_ids=torch.tensor([row])).logits[:, -1]
        return top_k(without(logits, self.barred), self.k)[0].tolist()

    @torch.no_grad()
    def harmful(self, ids, token):
        ended = token in self.setting.end_ids
        response = chat.decode(self.setting.tokenizer, list(ids) if ended else [*ids, token])
        row = chat.encode_prompt(self.tokenizer, self.request.prompt, self.setting.chat_format)
        row = [*row, *chat.encode_text(self.tokenizer, response), *([self.tokenizer.eos_token_id] if ended else [])]
        hidden = self.helper.base_model(input_ids=torch.tensor([row])).last_hidden_state[0, -1]
        safe, harm = self.helper.score(hidden).tolist()
        return harm > safe


@pytest.mark.parametrize("mode", ["paper", "reference", "strict"])
@pytest.mark.parametrize("family", FAMILIES)
def test_batched_and_cached_is_the_naive_definition(family, mode, tmp_path, monkeypatch):
    setting = setting_of(family, tmp_path / "helper")
    config = AutoRap(name="autorap", kind="autorap", mode=mode, k=[8], max_steps=STEPS)
    found = autorap.run(config, f"k8_prefill_s{STEPS}", REQUESTS, setting)
    monkeypatch.setattr(test_search, "text", lambda token: setting.tokenizer.decode([token]))
    backtracks = 0
    for request, completion in zip(REQUESTS, found, strict=True):
        world = Uncached(setting, request, 8, setting.barred if mode == "strict" else ())
        prefill = chat.encode_text(setting.tokenizer, request.prefill)
        if mode == "reference":
            picked, steps, back, lost = test_search.naive_reference(world, prefill, STEPS)
            assert completion.finish == ("exhausted" if lost else "length")
        elif mode == "paper":
            picked, steps, back = test_search.naive_paper(world, prefill, STEPS)
            assert completion.finish == ("length" if picked else "exhausted")
        else:
            picked, finish, steps, back = test_search.naive_strict(world, prefill, STEPS, setting.end_ids)
            assert completion.finish == finish
        assert (completion.token_ids, completion.steps, completion.backtracks) == (picked, steps, back)
        backtracks += back
    assert backtracks > 0  # else nothing was rolled back


def test_a_prompts_search_does_not_depend_on_its_batch(tmp_path):
    setting = setting_of("llama", tmp_path / "helper")
    config = AutoRap(name="autorap", kind="autorap", k=[8], max_steps=STEPS)
    together = autorap.run(config, f"k8_prefill_s{STEPS}", REQUESTS, setting)
    alone = [autorap.run(config, f"k8_prefill_s{STEPS}", [request], setting)[0] for request in REQUESTS]
    assert together == alone


def test_a_helper_with_another_tokeniser_reads_the_same_text(tmp_path):
    setting = setting_of("llama", tmp_path / "helper", helper_family="qwen3")
    labeller_sees = []
    original = autorap.shown_to_helper

    def watch(tokenizer, prompt_ids, response, ends):
        ids = original(tokenizer, prompt_ids, response, ends)
        labeller_sees.append((tokenizer, ids[len(prompt_ids) :], response))
        return ids

    config = AutoRap(name="autorap", kind="autorap", k=[5], max_steps=6)
    try:
        autorap.shown_to_helper = watch
        autorap.run(config, "k5_prefill_s6", REQUESTS, setting)
    finally:
        autorap.shown_to_helper = original
    assert len(labeller_sees) > 5
    for tokenizer, ids, response in labeller_sees:
        assert chat.decode(tokenizer, ids) == response


def test_without_a_prefill_the_search_starts_at_the_answers_first_token(tmp_path):
    setting = setting_of("llama", tmp_path / "helper")
    config = AutoRap(name="autorap", kind="autorap", k=[8], max_steps=10, prefill=["none"])
    assert config.variants() == ["k8_noprefill_s10"]
    found = autorap.run(config, "k8_noprefill_s10", REQUESTS, setting)
    assert all(completion.prefill_ids == () for completion in found)


def test_special_tokens_are_no_candidates_in_strict_mode(tmp_path):
    setting = setting_of("llama", tmp_path / "helper")
    start = setting.tokenizer.convert_tokens_to_ids("<|im_start|>")
    with torch.no_grad():  # a target that loves to start another turn
        setting.model.get_output_embeddings().weight[start] = setting.model.get_output_embeddings().weight.mean(0) * 100
    config = AutoRap(name="autorap", kind="autorap", k=[20], max_steps=STEPS)
    for completion in autorap.run(config, f"k20_prefill_s{STEPS}", REQUESTS, setting):
        assert start not in completion.token_ids
