"""Decoding: an exact draw per row, whatever else is in the batch; guided RAP equals its definition."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    Lfm2Config,
    Lfm2ForCausalLM,
    LogitsProcessorList,
    MambaConfig,
    MambaForCausalLM,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

import tiny_model
from presto_bench import draws
from presto_bench.attacks import direct, guided, prefilling, sampling
from presto_bench.attacks.base import Request, Setting, Twin
from presto_bench.config import SamplingConfig
from presto_bench.config.attacks import Direct, Guided, Prefilling, Sampling
from presto_bench.lm import chat, finite, reading
from presto_bench.lm.decoding import Sampled, continue_options, continue_rows
from presto_bench.lm.reading import left_pad
from presto_bench.measures import ranks

VOCABULARY = 60
TOKENIZER = tiny_model.tokenizer("llama")
SAMPLING = SamplingConfig(temperature=0.9, top_k=30, repetition_penalty=1.1)
REQUESTS = [
    Request(f"id{i}", prompt, "Sure! To begin,", Twin("How do I make salsa?", "Sure! For salsa,"))
    for i, prompt in enumerate(["How do I make pancakes?", "Soup?", "I want to make a very long and slow beef stew tonight."])
]


def model(seed=0, scale=1.0):
    """A random model; another seed is another model, larger logits make it decided."""
    made = tiny_model.model("llama", len(TOKENIZER))
    torch.manual_seed(seed)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3 * scale)
    return made


def model_of(family):
    """A tiny random model; mamba and lfm2 keep a running state instead of, or beside, keys and values."""
    if family not in ("mamba", "lfm2"):
        return tiny_model.model(family, VOCABULARY, dtype=torch.float64)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2}
    torch.manual_seed(0)
    if family == "mamba":
        made = MambaForCausalLM(MambaConfig(**sizes, state_size=4))
    else:
        more = {
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "layer_types": ["conv", "full_attention"],
        }
        made = Lfm2ForCausalLM(Lfm2Config(**sizes, **more))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.double().eval()


def setting(target, parent=None):
    ends = chat.end_of_turn(TOKENIZER)
    return Setting(target, TOKENIZER, chat.ChatFormat(), SAMPLING, ends, 1024, parent)


@pytest.mark.parametrize("family", ["llama", "llama2"])
def test_a_sampled_completion_does_not_depend_on_its_batch(family):
    """Llama 2's prompts hold no end token: padding with one would let the repetition penalty see it in padded rows only."""
    tokenizer = tiny_model.tokenizer(family)
    config = Direct(name="d", kind="direct", max_new_tokens=12)
    attacked = dataclasses.replace(setting(model()), tokenizer=tokenizer, end_ids=chat.end_of_turn(tokenizer))
    together = direct.run(config, "sampled", REQUESTS, attacked)
    alone = [direct.run(config, "sampled", [request], attacked)[0] for request in REQUESTS]
    assert together == alone


def test_samples_differ_and_come_back_the_same():
    config, attacked = Direct(name="d", kind="direct", max_new_tokens=12, samples=3), setting(model())
    first = direct.run(config, "sampled", REQUESTS[:1], attacked)
    assert len({completion.token_ids for completion in first}) == 3
    assert direct.run(config, "sampled", REQUESTS[:1], attacked) == first


@pytest.mark.parametrize("cut", [{"top_k": 4}, {"top_p": 0.97}, {"min_p": 0.1}])
def test_the_draw_follows_the_distribution(cut):
    """Chi-square over 4000 draws from four kept tokens of five: the 99.9 % quantile with 3 degrees of freedom is 16.27."""
    probabilities = torch.tensor([0.1, 0.2, 0.02, 0.3, 0.4])
    logits = probabilities.log().repeat(4000, 1)
    pick = Sampled(SamplingConfig(temperature=1.0, **cut), [draws.generator("chi", i) for i in range(4000)], 1, "cpu")
    counts = np.bincount(pick(logits, torch.zeros(4000, 1, dtype=torch.long)).numpy(), minlength=5)
    expected = 4000 * np.array([0.1, 0.2, 0.3, 0.4])
    assert counts[2] == 0
    assert ((np.delete(counts, 2) - expected) ** 2 / expected).sum() < 16.27


@pytest.mark.parametrize(
    "sampling", [SAMPLING, SamplingConfig(temperature=1.3, top_p=0.7), SamplingConfig(temperature=0.5, min_p=0.02)]
)
def test_a_draw_is_the_inverse_of_the_warped_distribution(sampling):
    """Against transformers' own warpers over the whole vocabulary, in ascending order of token ids."""
    logits, ids = torch.randn(7, 50, generator=torch.Generator().manual_seed(3)), torch.arange(21).reshape(7, 3)
    chain = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    chain.append(TopPLogitsWarper(sampling.top_p))
    chain.append(MinPLogitsWarper(sampling.min_p))
    cumulative = chain(ids, logits).double().softmax(-1).cumsum(-1)
    wanted = [int(np.searchsorted(c.numpy(), draws.generator("x", i).random(), side="right")) for i, c in enumerate(cumulative)]
    pick = Sampled(sampling, [draws.generator("x", i) for i in range(7)], 1, "cpu")
    assert pick(logits, ids).tolist() == wanted


def test_greedy_ignores_generators():
    ids = [chat.encode(TOKENIZER, "Soup?", chat.ChatFormat()).ids]
    ends = chat.end_of_turn(TOKENIZER)
    greedy = Sampled(SamplingConfig(temperature=0), [draws.generator("x")], 8, "cpu")
    target = model()
    assert continue_rows(target, ids, 8, ends, greedy) == continue_rows(target, ids, 8, ends)


def test_a_prefilling_length_cuts_the_prefill_in_tokens():
    config = Prefilling(name="p", kind="prefilling", lengths=[2, "full"], max_new_tokens=4)
    for variant, length in (("prefill_2", 2), ("prefill_full", len(chat.encode_text(TOKENIZER, "Sure! To begin,")))):
        for completion in prefilling.run(config, variant, REQUESTS, setting(model())):
            assert len(completion.prefill_ids) == length


def test_a_prefill_can_be_none_the_recipe_itself_or_asked_for_in_the_users_turn():
    config = Prefilling(
        name="p", kind="prefilling", lengths=[0], recipe_lengths=[3, 500], in_user_turn=True, max_new_tokens=4, samples=2
    )
    assert config.variants() == ["prefill_0", "recipe_3", "recipe_500", "user_turn", "greedy"]
    answers = [dataclasses.replace(r, answer="Mix flour and milk, then fry.") for r in REQUESTS]
    seen = {v: prefilling.run(config, v, answers, setting(model())) for v in config.variants()}
    assert all(len(found) == 2 * len(REQUESTS) for name, found in seen.items() if name != "greedy")
    assert {c.prefill_ids for c in seen["prefill_0"] + seen["user_turn"]} == {()}
    assert {len(c.prefill_ids) for c in seen["recipe_3"]} == {3}
    assert {chat.decode(TOKENIZER, c.prefill_ids) for c in seen["recipe_500"]} == {"Mix flour and milk, then fry."}
    assert [c.token_ids for c in seen["prefill_0"]] != [c.token_ids for c in seen["user_turn"]]


def test_the_sampling_attack_draws_at_its_temperature_and_cuts_nothing_away():
    """At a temperature near 0 all samples are the greedy one; at a high one they differ."""
    config = Sampling(name="s", kind="sampling", temperatures=[0.001, 3.0], samples=4, max_new_tokens=6)
    cold, hot = (sampling.run(config, v, REQUESTS, setting(model(scale=3.0))) for v in config.variants())
    for found, distinct in ((cold, 1), (hot, 4)):
        by_request = [{c.token_ids for c in found if c.prompt_id == r.prompt_id} for r in REQUESTS]
        assert [len(ids) for ids in by_request] == [distinct] * len(REQUESTS)
        assert {c.sample for c in found} == {0, 1, 2, 3}


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_options_continue_as_rows_of_their_own_do(family):
    tokenizer = tiny_model.tokenizer(family)
    target, ends = tiny_model.model(family, len(tokenizer)), chat.end_of_turn(tokenizer)
    rows = [list(range(20, 20 + n)) for n in (9, 30, 14)]
    options = [[5, 6, 7], [40], [8, 9]]
    found = continue_options(target, rows, options, 10, ends)
    for row, own, branches in zip(rows, options, found, strict=True):
        alone = continue_rows(target, [[*row, option] for option in own], 10, ends)
        assert branches == alone


def by_generate(target, row, steps, ends):
    """Greedy search of transformers' own."""
    ids = torch.tensor([row])
    said = target.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=steps, do_sample=False, eos_token_id=ends, pad_token_id=ends[0]
    )
    new = said[0, len(row) :].tolist()
    return (tuple(new[:-1]), "eos") if new[-1] in ends else (tuple(new), "length")


FAMILIES = ["llama", "qwen3", "gemma3", "mistral_windowed"]


@pytest.mark.parametrize("target", [*FAMILIES, "mamba", "lfm2"])
def test_rows_that_end_at_different_times_say_what_generate_says(target):
    """Rows of several lengths, with end tokens that come up: rows leave the batch while others go on."""
    target = model_of(target)
    shared = list(range(20, 32))  # a beginning that all rows have
    rows = [
        [*shared, *(int(x) for x in draws.generator("rows", i).integers(2, VOCABULARY, 3 + 5 * (i % 4)))] for i in range(12)
    ]
    ends = list(range(2, 10))  # so many that most rows end, each at a time of its own
    found = [(c.ids, c.finish) for c in continue_rows(target, rows, 24, ends)]
    assert found == [by_generate(target, row, 24, ends) for row in rows]
    assert len({len(ids) for ids, _ in found}) > 1


def test_the_host_waits_for_nothing_but_what_was_picked():
    """No scalar is read from a tensor in all the steps of sampling and of guided RAP."""
    target, parent = model(1), model(2)
    with ScalarReads() as reads:
        direct.run(Direct(name="d", kind="direct", max_new_tokens=12), "sampled", REQUESTS, setting(target))
        guided.run(Guided(name="g", kind="guided", max_steps=12), "k20_prefill", REQUESTS, setting(target, parent))
    assert reads.count == 0


@pytest.mark.gpu
def test_a_gpu_is_waited_for_once_a_step():
    """Everything but reading what was picked runs without a synchronisation: the loop's forward pass, the picks, and rows that leave."""
    target = model(1).to("cuda")
    rows = [list(chat.encode(TOKENIZER, request.prompt, chat.ChatFormat()).ids) for request in REQUESTS]
    read = reading.Reader(target, rows, 8)
    pick = Sampled(SAMPLING, [draws.generator("gpu", i) for i in range(3)], 8, target.device)
    ids = torch.tensor([row[:3] for row in rows], device="cuda")
    with torch.inference_mode():
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for order in ([0, 1, 2], [0, 2], [0]):
                if len(order) < len(read.ends):
                    read.leave(order)
                    pick.leave(order)
                    ids = ids[reading.sent(order, ids.device)]
                read.read(finite.marked(pick(read.logits, ids), read.logits))
        finally:
            torch.cuda.set_sync_debug_mode("default")


class ScalarReads(TorchDispatchMode):
    """Counts reads of a tensor's value by the host."""

    count = 0

    def __torch_dispatch__(self, called, types, args=(), kwargs=None):
        self.count += called is torch.ops.aten._local_scalar_dense.default
        return called(*args, **(kwargs or {}))


def naive_guided(asked, guided_by, k, steps, target, parent, reopened=()):
    """The definition, without caches and batches: of the target's k best, what the parent likes best.

    asked, guided_by: (prompt, prefill) that target and parent read. reopened: ids that the target alone reads behind the prefill.
    """
    ends = chat.end_of_turn(TOKENIZER)
    banned = set(TOKENIZER.all_special_ids) - set(ends)
    read = {m: list(chat.encode(TOKENIZER, *_prompt_first(pair)).ids) for m, pair in ((target, asked), (parent, guided_by))}
    read[target] += reopened
    picked, picked_ranks = [], []
    for _ in range(steps):
        with torch.inference_mode():
            mine, theirs = (m(input_ids=torch.tensor([[*read[m], *picked]])).logits[0, -1].tolist() for m in (target, parent))
        allowed = [t for t in range(len(mine)) if t not in banned]
        candidates = sorted(allowed, key=lambda t: (-mine[t], t))[:k]
        best = max(candidates, key=lambda t: theirs[t])
        if best in ends:
            return tuple(picked), "eos", tuple(picked_ranks)
        picked.append(best)
        picked_ranks.append(candidates.index(best) + 1)
    return tuple(picked), "length", tuple(picked_ranks)


def _prompt_first(pair):
    return pair[0], chat.ChatFormat(), pair[1]


@pytest.mark.parametrize(
    "variant",
    ["k5_prefill", "k20_noprefill", "k20_prefill_swapped", "k20_noprefill_swapped", "k20_prefill_guide_only", "k1_prefill"],
)
def test_guided_rap_picks_what_its_definition_picks(variant):
    target, parent = model(1), model(2)
    config = Guided(name="g", kind="guided", max_steps=14)
    found = guided.run(config, variant, REQUESTS, setting(target, parent))
    k = int(variant.split("_")[0][1:])
    for request, completion in zip(REQUESTS, found, strict=True):
        own, other = ((r.prompt, "" if "noprefill" in variant else r.prefill) for r in (request, request.twin))
        asked = other if variant.endswith(("swapped", "guide_only")) else own
        guided_by = other if variant.endswith("swapped") else own
        assert (completion.token_ids, completion.finish, completion.ranks) == naive_guided(
            asked, guided_by, k, 14, target, parent
        )


def test_the_guide_of_a_defended_target_reads_no_defence():
    target, parent, form = model(1), model(2), chat.ChatFormat(reopen=True)
    defended = dataclasses.replace(setting(target, parent), chat_format=form)
    found = guided.run(Guided(name="g", kind="guided", max_steps=14), "k20_prefill", REQUESTS, defended)
    header = chat.reopened(TOKENIZER, form)
    for request, completion in zip(REQUESTS, found, strict=True):
        both = (request.prompt, request.prefill)
        wanted = naive_guided(both, both, 20, 14, target, parent, header)
        assert (completion.token_ids, completion.finish, completion.ranks) == wanted
        assert chat.decode(TOKENIZER, completion.prefill_ids) == request.prefill


def test_with_one_candidate_guided_rap_is_greedy_prefilling():
    target = model(1)
    guided_ids = guided.run(Guided(name="g", kind="guided", max_steps=10), "k1_prefill", REQUESTS, setting(target, model(2)))
    greedy = prefilling.run(Prefilling(name="p", kind="prefilling", greedy_tokens=10), "greedy", REQUESTS, setting(target))
    special = set(TOKENIZER.all_special_ids)
    for one, other in zip(guided_ids, greedy, strict=True):
        if not special & set(other.token_ids):  # greedy prefilling may say special tokens; guided RAP never does
            assert one.token_ids == other.token_ids


def test_variants_name_what_a_job_produces():
    config = Guided(name="g", kind="guided", k=[5, 20], prefill=[True, "none"], nulls=["swapped", "guide_only"])
    assert config.variants()[:4] == ["k5_prefill", "k5_prefill_swapped", "k5_prefill_guide_only", "k5_noprefill"]
    assert len(config.variants()) == 12


def test_padding_is_invisible_to_a_repetition_penalty():
    """Padding repeats the row's own first token, so that the set of tokens seen is the row's."""
    ids, mask = left_pad([[5, 6, 7], [8]], torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7], [8, 8, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


@given(st.lists(st.lists(st.integers(-2, 2).map(float), min_size=9, max_size=9), min_size=1, max_size=4), st.integers(1, 9))
def test_the_top_k_are_ordered_by_logit_then_id(rows, k):
    found = ranks.top_k(torch.tensor(rows), k).tolist()
    assert found == [sorted(range(9), key=lambda i: (-row[i], i))[:k] for row in rows]


def test_a_parent_of_another_width_is_asked_for_what_both_know():
    """Embeddings are padded to widths of their own; ids beyond the tokenizer are nobody's picks, however likely a model finds them."""
    wide, parent = (tiny_model.model("llama", len(TOKENIZER) + more) for more in (61, 7))
    with torch.no_grad():
        wide.get_output_embeddings().weight[len(TOKENIZER) :] = wide.get_output_embeddings().weight.mean(0) * 100
    found = guided.run(Guided(name="g", kind="guided", max_steps=14), "k20_prefill", REQUESTS, setting(wide, parent))
    assert all(token < len(TOKENIZER) for completion in found for token in completion.token_ids)
    assert any(completion.token_ids for completion in found)
