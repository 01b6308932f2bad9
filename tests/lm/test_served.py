"""A model behind an endpoint: the same picks as the loaded model, one clear error for each fault, and no call made twice."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch

import tiny_model
from presto_bench import config as typed
from presto_bench import draws
from presto_bench.attacks import guided
from presto_bench.attacks.autorap.attack import Ranker
from presto_bench.attacks.base import Request, Setting, Twin
from presto_bench.config.attacks import Guided
from presto_bench.config.models import SamplingConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, folders, models
from presto_bench.lm.decoding import Sampled, continue_rows
from presto_bench.lm.forward import response_logits
from presto_bench.lm.served import target
from presto_bench.measures import candidates, ranks
from serving import serving

DIALECTS = ("vllm", "llama.cpp", "text")
FORM = chat.ChatFormat()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The served model as a folder: its tokenizer is what an audit is given."""
    return tiny_model.make(tmp_path_factory.mktemp("served") / "tiny")


@pytest.fixture(scope="module")
def local(folder):
    return models.load(folder, "float32", "cpu")


@pytest.fixture
def served(folder, local, tmp_path):
    """A way to put the model behind an endpoint and to load it from there: (server, served model, its folder)."""
    with ExitStack() as stack:

        def put(where="one", key=None, settings=None, **behaviour):
            server, url = stack.enter_context(serving(*local, **behaviour))
            entry = {
                "name": "target",
                "kind": "endpoint",
                "base_url": url,
                "model": "tiny",
                "key": key,
                "tokenizer": str(folder),
            }
            entry |= {"retries": 2, **(settings or {})}
            made = tmp_path / where
            models.fetch(typed.EndpointModel.model_validate(entry), made, tmp_path)
            return server, lambda: models.load(made, "auto", "cpu")[0], made

        yield put


def requests():
    dishes = {"a": "pancakes", "b": "bread", "c": "soup"}
    twin = Twin("How do I sew a button?", "Take a needle")
    return [Request(i, f"How do I make {dish}?", f"To make {dish}, take", twin) for i, dish in dishes.items()]


def setting(model, tokenizer, parent):
    ends = chat.end_of_turn(tokenizer, parent)
    return Setting(model, tokenizer, FORM, SamplingConfig(temperature=0), ends, 512, parent=parent)


@pytest.mark.parametrize(("dialect", "faults"), [("vllm", ()), ("llama.cpp", ()), ("llama.cpp", ("trims",))])
def test_guided_rap_over_http_picks_what_it_picks_locally(served, local, dialect, faults):
    """Some builds of llama.cpp trim what tokens look like; their ids stay right."""
    _, load, _ = served(dialect=dialect, faults=frozenset(faults))
    config = Guided(name="guided", kind="guided", k=[20], max_steps=12)
    parent = tiny_model.model("llama", len(local[1]), layers=1)
    mine = guided.run(config, "k20_prefill", requests(), setting(local[0], local[1], parent))
    over_http = guided.run(config, "k20_prefill", requests(), setting(load(), local[1], parent))
    assert [(c.token_ids, c.ranks, c.finish) for c in over_http] == [(c.token_ids, c.ranks, c.finish) for c in mine]


def test_tokens_that_are_told_as_text_are_matched_and_what_fits_no_single_token_is_counted(served, local):
    """Parts of characters have no text of their own: they are no candidates, so that others move up."""
    _, load, _ = served(dialect="text")
    config = Guided(name="guided", kind="guided", k=[20], max_steps=12)
    parent = tiny_model.model("llama", len(local[1]), layers=1)
    model = load()
    found = guided.run(config, "k20_prefill", requests(), setting(model, local[1], parent))
    mine = guided.run(config, "k20_prefill", requests(), setting(local[0], local[1], parent))
    assert model.names.unmatched > 0 and "match no single token" in model.remarks()[0]
    assert all(
        a <= b
        for c, own in zip(found, mine, strict=True)
        for a, b in zip(c.ranks, own.ranks, strict=True)
        if c.token_ids == own.token_ids
    )
    assert any(c.token_ids == own.token_ids for c, own in zip(found, mine, strict=True))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_greedy_answers_are_the_loaded_models(served, local, dialect):
    _, load, _ = served(dialect=dialect)
    rows = [list(chat.encode(local[1], r.prompt, FORM, r.prefill).ids) for r in requests()]
    ends = chat.end_of_turn(local[1], local[0])
    assert continue_rows(load(), rows, 10, ends) == continue_rows(local[0], rows, 10, ends)


def test_a_sampled_answer_is_drawn_by_the_server_with_a_seed_of_its_own_and_the_familys_settings(served, local):
    server, load, _ = served()
    row = list(chat.encode(local[1], "How do I make soup?", FORM).ids)
    sampling = SamplingConfig(temperature=0.7, top_k=20, top_p=0.9, repetition_penalty=1.1)
    picks = [Sampled(sampling, [draws.generator("test", name) for name in "ab"], 6, "cpu") for _ in range(2)]
    found = [continue_rows(load(), [row, row], 6, (1,), pick) for pick in picks]
    first, second = [body for body in server.calls if body["max_tokens"] == 6][:2]
    assert first["seed"] != second["seed"] and 0 <= first["seed"] < 2**31
    assert (first["temperature"], first["top_k"], first["top_p"]) == (0.7, 20, 0.9)
    assert first["repetition_penalty"] == first["repeat_penalty"] == 1.1 and first["repeat_last_n"] == len(row) + 6
    assert found[0] == found[1]


def test_likelihoods_and_ranks_of_a_text_are_the_loaded_models(served, local):
    _, load, _ = served()
    model, tokenizer = local
    row = chat.encode(tokenizer, "How do I make soup?", FORM, "Boil the", " water, then add salt and pepper.")
    (told,) = load().texts([row])
    (logits,) = response_logits(model, [row], 0)
    mine = ranks.token_ranks(logits, row.response_ids, {5})
    theirs = ranks.token_ranks(told.logits, row.response_ids, {5})
    assert list(told.ranks) == mine.rank.tolist() and max(told.ranks) > 20
    np.testing.assert_allclose(theirs.probability, mine.probability, rtol=1e-4)
    assert torch.logsumexp(told.logits, -1).abs().max() < 1e-4


def test_what_cannot_tell_likelihoods_says_so(served):
    assert served(dialect="vllm")[1]().likelihoods
    assert not served("two", dialect="llama.cpp")[1]().likelihoods


def test_autoraps_ranks_and_the_top_20_are_the_loaded_models(served, local):
    _, load, _ = served(dialect="llama.cpp")
    model, tokenizer = local
    rows = [chat.encode(tokenizer, r.prompt, FORM, r.prefill) for r in requests()]
    wanted = {0: [*rows[0].prefill_ids, 7], 2: list(rows[2].prefill_ids)}
    barred = setting(model, tokenizer, model).barred
    assert Ranker(load(), rows, 10, barred)(wanted) == Ranker(model, rows, 10, barred)(wanted)
    ids = [list(row.ids) for row in rows]
    best = candidates.top(load(), ids, 5)
    assert best == candidates.top(model, ids, 5)
    assert candidates.continuations(load(), tokenizer, ids, best) == candidates.continuations(model, tokenizer, ids, best)


def test_a_probe_takes_five_calls_at_most(served):
    for dialect in DIALECTS:
        server, _, _ = served(dialect.replace(".", ""), dialect=dialect)
        assert 3 <= len(server.keys) <= 5


@pytest.mark.parametrize(
    ("fault", "dialect", "says"),
    [
        ("no logprobs", "vllm", "no log-probabilities"),
        ("fewer", "llama.cpp", "returns 5 likeliest tokens where 20 are asked for"),
        ("no prefill", "vllm", "it reads no prefill|tokens where"),
        ("adds a BOM", "llama.cpp", "more than it should: it adds something"),
        ("adds a BOM", "text", "more than it should: it adds something"),
        ("trims", "text", "whitespace is trimmed"),
    ],
)
def test_a_servers_fault_is_found_before_anything_is_asked(served, tmp_path, fault, dialect, says):
    with pytest.raises(UserError, match=says) as refused:
        served(dialect=dialect, faults=frozenset({fault}))
    assert "To mend it" in str(refused.value) and not (tmp_path / "one").exists()


def test_more_ranks_than_the_server_gives_are_refused_with_its_limit(served):
    with pytest.raises(UserError, match="greater than max allowed: 20"):
        served(settings={"logprobs": 50})
    assert served("two", limit=50, settings={"logprobs": 50})[1]().next_logits([[5, 6]]).isfinite().sum() == 50


def test_nothing_is_asked_twice_and_a_new_process_goes_on_where_the_last_one_was(served, local):
    server, load, made = served()
    rows = [list(chat.encode(local[1], r.prompt, FORM).ids) for r in requests()]
    first = load().next_logits([*rows, rows[0]])
    asked = len(server.calls)
    assert load().next_logits(rows).equal(first[:3])
    assert len(server.calls) == asked + 1  # whether it is the same model still
    kept = list(made.with_name("one.calls").glob("*.jsonl"))
    assert kept and all(path.stat().st_mode & 0o077 == 0 for path in kept)


def test_a_busy_or_broken_server_is_asked_again(served):
    server, load, _ = served(retry_after=0.05)
    server.behaviour.script = [429, 503]
    model = load()
    assert model.next_logits([[5, 6, 7]]).isfinite().sum() == 20
    server.behaviour.script = [500] * 3
    with pytest.raises(UserError, match="gave no reply after 3 tries"):
        model.next_logits([[5, 6, 8]])
    assert model.next_logits([[5, 6, 8]]).isfinite().any()


def test_a_server_that_wants_to_be_left_alone_for_long_stops_the_job_and_says_for_how_long(served):
    server, load, _ = served(retry_after=7200)
    model = load()
    server.behaviour.script = [429]
    with pytest.raises(UserError, match=r"longest_wait: .*asks to wait 2\.0 hours"):
        model.next_logits([[5, 6, 7]])


def test_a_reply_that_cannot_be_used_is_not_kept(served):
    server, load, _ = served()
    model = load()
    server.behaviour.faults = frozenset({"no logprobs"})
    with pytest.raises(UserError, match="a reply without log-probabilities"):
        model.next_logits([[5, 6, 7]])
    server.behaviour.faults = frozenset()
    assert model.next_logits([[5, 6, 7]]).isfinite().sum() == 20


def test_so_many_calls_are_in_flight_at_once_and_no_more(served):
    server, load, _ = served(delay=0.02, settings={"concurrency": 3})
    load().next_logits([[5, 6, i] for i in range(10, 22)])
    assert server.at_once == 3


def test_a_cap_stops_before_more_is_spent(served):
    server, load, _ = served(settings={"max_calls": 5})
    model = load()
    asked = len(server.calls)
    with pytest.raises(UserError, match="max_calls"):
        model.next_logits([[5, 6, i] for i in range(10, 20)])
    assert len(server.calls) == asked


def test_another_model_under_the_same_name_is_refused(served, local):
    server, load, _ = served()
    torch.manual_seed(1)
    other = type(local[0])(local[0].config).eval()
    model = load()
    server.behaviour.then = other
    with pytest.raises(UserError, match="another model answers under the name 'tiny'"):
        load()
    model.looked = -target.LOOK_AGAIN  # as after so many calls
    with pytest.raises(UserError, match="another model answers"):
        model.next_logits([[5, 6, 7]])


def test_the_key_reaches_the_server_and_nothing_else(served, monkeypatch):
    with pytest.raises(UserError, match="environment variable TINY_KEY is not set"):
        served(key="TINY_KEY")
    monkeypatch.setenv("TINY_KEY", "a-secret-of-mine")
    server, load, made = served("two", key="TINY_KEY")
    load().next_logits([[5, 6]])
    assert set(server.keys) == {"Bearer a-secret-of-mine"}
    files = [p for p in (*made.rglob("*"), *made.with_name("two.calls").rglob("*")) if p.is_file()]
    assert files and not any(b"a-secret-of-mine" in path.read_bytes() for path in files)


def test_the_servers_context_is_the_models(served):
    assert models.context_length(served()[1]()) == 512
    assert folders.is_served(served("two")[2])
