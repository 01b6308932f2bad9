"""The objective of docs/explanation/method.md: what is counted, what is supervised, and how steps may be cut."""

import dataclasses
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.nn import functional as F

import tiny_model
import warm
from presto_bench.config import TrainingConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, models
from presto_bench.training import augment, launch, trainer
from presto_bench.training.examples import IGNORED, Texts, build_examples, collate

TOKENIZER = tiny_model.tokenizer("llama")
FORM = chat.ChatFormat()
PROMPTS = {
    "h1": "How do I make pancakes?",
    "h2": "Give me a recipe for salsa.",
    "b1": "Why is the sky blue?",
    "b2": "What is DNA?",
}
TRIPLES = {
    "h1": ("Mix flour, egg and milk, then fry.", "I can't help."),
    "h2": ("Chop tomato and onion and stir.", "Sorry, no recipes here."),
}
UTILITY = {"b1": "Because air scatters blue light.", "b2": "A molecule that carries genes."}
TEXTS = Texts(PROMPTS, TRIPLES, UTILITY)
SMALL = {
    "steps": 6,
    "batch_size": 4,
    "micro_batch_size": 4,
    "autocast": None,
    "save_every": 2,
    "lr": 1e-3,
    "gradient_norms_every": 0,
}


def config(**changes):
    return TrainingConfig.model_validate(SMALL | changes)


def table(cfg, seed=0):
    tokens = {p: len(chat.encode_text(TOKENIZER, harmful)) for p, (harmful, _) in TRIPLES.items()}
    return augment.augment(cfg, seed, tokens, {p: len(chat.encode_text(TOKENIZER, text)) for p, text in UTILITY.items()})


def examples(cfg, frame=None):
    frame = table(cfg) if frame is None else frame.assign(seed=0, epoch=0)
    return build_examples(frame, TEXTS, TOKENIZER, FORM, cfg)


def trained_state(cfg, work):
    model = trainer.train(tiny_model.model("llama", len(TOKENIZER)), TOKENIZER, examples(cfg), cfg, 0, work)
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@given(st.integers(0, 5), st.integers(1, 60), st.floats(0, 1))
@settings(max_examples=40)
def test_prefill_lengths_are_as_method_says(seed, harmful_tokens, probability):
    cfg = config(prefill_probability=probability, max_prefill=20, steps=20)
    frame = augment.augment(cfg, seed, {"h": harmful_tokens}, {"b": 9})
    safety = frame[frame["prompt_id"] == "h"]
    assert safety["prefill_tokens"].between(0, max(min(harmful_tokens, 20) - 1, 0)).all()
    assert (frame.loc[frame["prompt_id"] == "b", "prefill_tokens"] == 0).all()
    assert frame["order"].tolist() == list(range(20 * 4))


@given(st.integers(1, 30))
@settings(max_examples=20)
def test_the_papers_cuts_have_both_ends_in(harmful_tokens):
    """400 draws over at most 20 lengths: that one of them is never drawn has a probability below 1e-7."""
    cfg = config(prefill_probability=1.0, max_prefill=20, cut_points="paper")
    drawn = {augment.prefill_length(cfg, harmful_tokens, 0, epoch, "h") for epoch in range(400)}
    assert drawn == set(range(1, min(harmful_tokens, 20) + 1))


def test_half_of_the_safety_examples_are_prefilled_uniformly():
    """4000 draws: the share within 3 standard errors of 1/2, lengths uniform over 1..9 (chi-square, 8 d.o.f., 99.9 %: 26.1)."""
    lengths = pd.Series([augment.prefill_length(config(), 10, 0, epoch, "h") for epoch in range(4000)])
    assert abs((lengths > 0).mean() - 0.5) < 3 * 0.5 / 4000**0.5
    counts = lengths[lengths > 0].value_counts().reindex(range(1, 10), fill_value=0)
    expected = counts.sum() / 9
    assert ((counts - expected) ** 2 / expected).sum() < 26.1


def test_an_examples_draw_depends_on_seed_epoch_and_prompt_alone():
    small, large = config(batch_size=4), config(batch_size=8, steps=12)
    key = ["epoch", "prompt_id"]
    merged = table(small).drop_duplicates(key).merge(table(large).drop_duplicates(key), on=key)
    safety = merged[merged["prompt_id"].str.startswith("h")]
    assert len(safety) > 2
    assert (safety["prefill_tokens_x"] == safety["prefill_tokens_y"]).all()
    assert not table(small, seed=1)["prefill_tokens"].equals(table(small)["prefill_tokens"])


def test_cross_entropy_is_on_refusals_and_answers_and_n_counts_prefills_too():
    cfg = config()
    frame = pd.DataFrame({"order": [0, 1], "prompt_id": ["h1", "b1"], "prefill_tokens": [3, 0]})
    safety, utility = examples(cfg, frame)
    batch = collate([safety, utility], pad=1)
    for row, example, text in ((0, safety, "I can't help."), (1, utility, UTILITY["b1"])):
        labelled = batch["labels"][row][batch["labels"][row] != IGNORED].tolist()
        assert labelled == [*chat.encode_text(TOKENIZER, text), TOKENIZER.eos_token_id]
        assert batch["end"][row] == len(example.encoded.ids)
    refusal = len(chat.encode_text(TOKENIZER, "I can't help.")) + 1
    assert safety.counted == 3 + refusal
    assert utility.counted == len(chat.encode_text(TOKENIZER, UTILITY["b1"])) + 1
    assert list(safety.encoded.prefill_ids) == chat.encode_text(TOKENIZER, TRIPLES["h1"][0])[:3]


def test_without_prefilled_cross_entropy_a_prefilled_example_has_no_labels_but_still_counts():
    frame = pd.DataFrame({"order": [0, 1], "prompt_id": ["h1", "h1"], "prefill_tokens": [3, 0]})
    filled, bare = examples(config(prefilled_cross_entropy=False), frame)
    batch = collate([filled, bare], pad=1)
    assert (batch["labels"][0] == IGNORED).all()
    assert (batch["labels"][1] != IGNORED).any()
    assert filled.counted > 3


def test_where_labelled_tokens_count_a_prefill_does_not():
    frame = pd.DataFrame({"order": [0, 1], "prompt_id": ["h1", "b1"], "prefill_tokens": [3, 0]})
    labelled, whole = (examples(config(normalise_by=by), frame) for by in ("labelled", "from_prefill"))
    assert [e.counted for e in labelled] == [len(e.encoded.response_ids) for e in labelled]
    assert [w.counted - e.counted for w, e in zip(whole, labelled, strict=True)] == [3, 0]
    (silent, _) = examples(config(normalise_by="labelled", prefilled_cross_entropy=False), frame)
    assert silent.counted == 0


def test_shallow_alignment_continues_after_a_prefill():
    frame = pd.DataFrame({"order": [0], "prompt_id": ["h1"], "prefill_tokens": [3]})
    (example,) = examples(config(after_prefill="continue"), frame)
    whole = chat.encode_text(TOKENIZER, TRIPLES["h1"][0])
    assert list(example.encoded.prefill_ids + example.encoded.response_ids) == [*whole, TOKENIZER.eos_token_id]


def test_the_first_steps_loss_is_the_definition(tmp_path):
    """CE + PRESTO + KL over N, recomputed from the base model with plain torch, against the trainer's log."""
    cfg = config(steps=1, presto={"weight": 1.0}, kl={"weight": 0.5})
    rows = examples(cfg)
    trainer.train(tiny_model.model("llama", len(TOKENIZER)), TOKENIZER, rows, cfg, 0, tmp_path / "work")
    logged = json.loads((tmp_path / "work/metrics.jsonl").read_text().splitlines()[0])
    base = tiny_model.model("llama", len(TOKENIZER)).double()
    base.set_attn_implementation("eager")
    ce = presto = kl = 0.0
    for example in rows:
        encoded = example.encoded
        out = base(input_ids=torch.tensor([encoded.ids]), output_attentions=True)
        response = torch.tensor(encoded.response_ids)
        ce += F.cross_entropy(out.logits[0, encoded.response_start - 1 : -1], response, reduction="sum").item()
        if encoded.prefill_ids:
            p, r = encoded.prefill_start, encoded.response_start
            presto += sum(2 * a[0, :, p:, p:r].sum().item() for a in out.attentions) / len(out.attentions)
            first = base(input_ids=torch.tensor([encoded.prompt_ids])).logits[0, -1].log_softmax(-1)
            after = out.logits[0, r - 1].log_softmax(-1)
            kl += 0.5 * (first.exp() * (first - after)).sum().item()
    counted = sum(example.counted for example in rows)
    assert presto > 0
    assert logged["cross_entropy"] == pytest.approx(ce / counted, rel=1e-4)
    assert logged["presto"] == pytest.approx(presto / counted, rel=1e-4)
    assert logged["kl"] == pytest.approx(kl / counted, rel=1e-3)


def test_told_to_stop_it_saves_where_it_is_and_goes_on_from_there_to_the_same_weights(tmp_path, monkeypatch):
    """SIGTERM at step 3 of 6 with no checkpoint due: what it goes on from was saved for that reason."""
    cfg = config(steps=6, save_every=1000)
    calm = trained_state(cfg, tmp_path / "calm")
    original, told = trainer.MetricsLog.on_step_end, []

    def with_a_signal(self, args, state, control, **kwargs):
        original(self, args, state, control, **kwargs)
        if state.global_step == 3 and not told:
            told.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(trainer.MetricsLog, "on_step_end", with_a_signal)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match="step 3 of 6"):
        trained_state(cfg, tmp_path / "told")
    assert signal.getsignal(signal.SIGTERM) == before
    assert (tmp_path / "told/checkpoint-3/complete").exists()
    state = trained_state(cfg, tmp_path / "told")
    assert all(torch.equal(state[name], calm[name]) for name in calm)


def test_smoothed_refusals_are_torchs_own_smoothing_and_answers_stay_as_they_are(tmp_path):
    """Recomputed row by row with torch's label_smoothing, which refusals have and utility answers have not."""
    cfg = config(steps=1, label_smoothing=0.3)
    rows = examples(cfg)
    trainer.train(tiny_model.model("llama", len(TOKENIZER)), TOKENIZER, rows, cfg, 0, tmp_path / "work")
    logged = json.loads((tmp_path / "work/metrics.jsonl").read_text().splitlines()[0])
    base, expected, smoothed = tiny_model.model("llama", len(TOKENIZER)).double(), 0.0, set()
    for example in rows:
        encoded, share = example.encoded, 0.3 if example.prompt_id in TRIPLES else 0.0
        logits = base(input_ids=torch.tensor([encoded.ids])).logits[0, encoded.response_start - 1 : -1]
        target = torch.tensor(encoded.response_ids)
        expected += F.cross_entropy(logits, target, reduction="sum", label_smoothing=share).item()
        smoothed.add(share)
    assert smoothed == {0.0, 0.3}
    assert logged["cross_entropy"] == pytest.approx(expected / sum(example.counted for example in rows), rel=1e-4)


def test_transitions_ask_for_the_refusals_first_token_behind_every_token_of_the_harmful_beginning(tmp_path):
    """DeRTa's second objective, recomputed row by row: a prefill of n tokens has n - 1 such places, the last being the refusal's own."""
    cfg = config(steps=1, transition={"weight": 0.5})
    rows = examples(cfg)
    trainer.train(tiny_model.model("llama", len(TOKENIZER)), TOKENIZER, rows, cfg, 0, tmp_path / "work")
    logged = json.loads((tmp_path / "work/metrics.jsonl").read_text().splitlines()[0])
    base, expected, places = tiny_model.model("llama", len(TOKENIZER)).double(), 0.0, 0
    for example in rows:
        encoded = example.encoded
        inside = range(encoded.prefill_start, encoded.prefill_end - 1)
        if not len(inside):
            continue
        logits = base(input_ids=torch.tensor([encoded.ids])).logits[0, list(inside)]
        target = torch.full((len(inside),), encoded.response_ids[0])
        expected += 0.5 * F.cross_entropy(logits, target, reduction="sum").item()
        places += len(inside)
    assert places >= 3
    assert logged["transition"] == pytest.approx(expected / sum(example.counted for example in rows), rel=1e-4)
    trainer.train(tiny_model.model("llama", len(TOKENIZER)), TOKENIZER, rows, config(steps=1), 0, tmp_path / "plain")
    without = json.loads((tmp_path / "plain/metrics.jsonl").read_text().splitlines()[0])
    assert without["cross_entropy"] == pytest.approx(logged["cross_entropy"], rel=1e-5) and "transition" not in without


def test_a_row_whose_response_was_cut_away_has_no_first_token_to_ask_for(tmp_path):
    """It adds nothing to the terms that ask for the response's first token, and takes nothing from its neighbour's."""
    cfg = config(steps=1, transition={"weight": 0.5}, kl={"weight": 0.5})
    prefilled = sorted((row for row in examples(cfg) if row.encoded.prefill_ids), key=lambda row: row.encoded.prefill_end)
    whole, longest = prefilled[0], prefilled[-1].encoded
    cut = dataclasses.replace(prefilled[-1], encoded=dataclasses.replace(longest, ids=longest.ids[: longest.prefill_end - 1]))
    assert len(whole.encoded.prefill_ids) > 1 and not cut.encoded.response_ids
    alone, together = (_terms(rows, tmp_path / str(len(rows))) for rows in ([whole], [whole, cut]))
    assert alone["kl"] > 0 and alone["transition"] > 0
    assert together == pytest.approx(alone, rel=1e-3)


def _terms(rows, work):
    """Sums over one step's batch."""
    cfg = config(steps=1, transition={"weight": 0.5}, kl={"weight": 0.5}, batch_size=len(rows), micro_batch_size=len(rows))
    trainer.train(tiny_model.model("llama", len(TOKENIZER)), TOKENIZER, rows, cfg, 0, work)
    logged = json.loads((work / "metrics.jsonl").read_text().splitlines()[0])
    return {part: logged[part] * sum(row.counted for row in rows) for part in ("transition", "kl")}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_accumulation_equals_the_big_batch(tmp_path, method):
    """N is that of the whole optimiser step: four micro-batches of one end where one batch of four ends."""
    whole = trained_state(config(method=method, presto={"weight": 1.0}), tmp_path / "whole")
    parts = trained_state(config(method=method, presto={"weight": 1.0}, micro_batch_size=1), tmp_path / "parts")
    start = tiny_model.model("llama", len(TOKENIZER)).state_dict()
    moved = max(float((whole[name] - start[name]).abs().max()) for name in whole)
    apart = max(float((whole[name] - parts[name]).abs().max()) for name in whole)
    assert moved > 1e-3
    assert apart < 0.02 * moved


@pytest.mark.parametrize("micro_batch_size", [4, 1])
def test_the_papers_objective_as_printed_is_the_definition(tmp_path, micro_batch_size):
    """Cross-entropy over labelled tokens, plus equation 3 over the step's prefilled examples, whatever the accumulation; recomputed with plain torch."""
    printed = {"queries": "prefill", "normalisation": "equation"}
    cfg = config(
        steps=1,
        normalise_by="labelled",
        cut_points="paper",
        presto=printed,
        micro_batch_size=micro_batch_size,
        safety_share=0.75,
    )
    rows = examples(cfg)
    trainer.train(tiny_model.model("llama", len(TOKENIZER)), TOKENIZER, rows, cfg, 0, tmp_path / "work")
    logged = json.loads((tmp_path / "work/metrics.jsonl").read_text().splitlines()[0])
    base = tiny_model.model("llama", len(TOKENIZER)).double()
    base.set_attn_implementation("eager")
    ce = presto = labelled = prefilled = 0
    for example in rows:
        encoded, p, r = example.encoded, example.encoded.prefill_start, example.encoded.response_start
        out = base(input_ids=torch.tensor([encoded.ids]), output_attentions=True)
        response = torch.tensor(encoded.response_ids)
        ce, labelled = (
            ce + F.cross_entropy(out.logits[0, r - 1 : -1], response, reduction="sum").item(),
            labelled + len(response),
        )
        presto += sum(2 * a[0, :, p:r, p:r].sum().item() for a in out.attentions)
        prefilled += r > p
    assert 0 < prefilled < len(rows)
    assert logged["cross_entropy"] == pytest.approx(ce / labelled, rel=1e-4)
    assert logged["presto"] == pytest.approx(presto / prefilled, rel=1e-4)


def test_the_logged_norms_are_those_of_each_parts_own_gradient(tmp_path):
    """Full fine-tuning of one step: CE and PRESTO recomputed with plain torch on the base."""
    cfg = config(steps=1, presto={"weight": 1.0}, method="full", gradient_norms_every=1, micro_batch_size=2)
    rows = examples(cfg)
    trainer.train(tiny_model.model("llama", len(TOKENIZER)), TOKENIZER, rows, cfg, 0, tmp_path / "work")
    logged = json.loads((tmp_path / "work/metrics.jsonl").read_text().splitlines()[0])
    base = tiny_model.model("llama", len(TOKENIZER)).double()
    base.set_attn_implementation("eager")
    ce = presto = torch.zeros((), dtype=torch.float64)
    for example in rows:
        encoded, p, r = example.encoded, example.encoded.prefill_start, example.encoded.response_start
        out = base(input_ids=torch.tensor([encoded.ids]), output_attentions=True)
        ce = ce + F.cross_entropy(out.logits[0, r - 1 : -1], torch.tensor(encoded.response_ids), reduction="sum")
        if encoded.prefill_ids:
            presto = presto + sum(2 * a[0, :, p:, p:r].sum() for a in out.attentions) / len(out.attentions)
    counted, weights = sum(example.counted for example in rows), list(base.parameters())
    for name, part in (("norm_cross_entropy", ce), ("norm_presto", presto)):
        grads = torch.autograd.grad(part / counted, weights, retain_graph=True, allow_unused=True)
        norm = sum(float(g.square().sum()) for g in grads if g is not None) ** 0.5
        assert logged[name] == pytest.approx(norm, rel=1e-3)


def test_the_random_span_control_penalises_as_many_prompt_tokens_and_teaches_the_same():
    control, plain = config(presto={"keys": "random_span"}), config(presto={})
    moved = 0
    for mine, theirs in zip(examples(control), examples(plain), strict=True):
        assert (mine.encoded, mine.supervised, mine.counted) == (theirs.encoded, theirs.supervised, theirs.counted)
        p, start = mine.penalty, mine.encoded.prefill_start
        assert p.key_end - p.key_start == min(theirs.penalty.key_end - theirs.penalty.key_start, start - 1)
        assert p.key_start > 0 or p.key_end == 0  # the first token's attention is left alone
        assert p.key_end <= start or p.key_end == p.key_start == 0
        assert p.query_start == theirs.penalty.query_start
        moved += p.key_end > 0
    assert moved > 3


def test_the_benign_prefill_control_penalises_benign_answers_and_no_recipe():
    control = config(presto={"keys": "benign_prefill"}, steps=12)
    penalised = 0
    for mine, theirs in zip(examples(control), examples(config(steps=12)), strict=True):
        assert (mine.encoded, mine.supervised, mine.counted) == (theirs.encoded, theirs.supervised, theirs.counted)
        if mine.penalty.key_end == 0:
            continue
        assert mine.prompt_id in UTILITY
        assert mine.encoded.response_start == mine.penalty.key_start < mine.penalty.key_end < len(mine.encoded.ids)
        penalised += 1
    assert penalised > 3


def test_a_run_stopped_in_the_middle_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    cfg = config(presto={"weight": 1.0}, steps=7)
    whole = trained_state(cfg, tmp_path / "whole")
    step = trainer.MetricsLog.on_step_end

    def stop(self, args, state, control, **kwargs):
        step(self, args, state, control, **kwargs)
        if state.global_step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.MetricsLog, "on_step_end", stop)
    with pytest.raises(KeyboardInterrupt):
        trained_state(cfg, tmp_path / "parts")
    monkeypatch.undo()
    resumed = trained_state(cfg, tmp_path / "parts")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    lines = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "parts")]
    assert lines[0] == lines[1]
    assert len(list((tmp_path / "parts").glob("checkpoint-*"))) <= 2  # disk use is bounded


two_devices = pytest.mark.skipif(torch.cuda.device_count() == 1, reason="one GPU is one device")


@two_devices
@pytest.mark.parametrize(("strategy", "method"), [("ddp", "lora"), ("fsdp", "full"), ("fsdp", "lora")])
def test_two_processes_train_as_one(tmp_path, monkeypatch, strategy, method):
    """Two gloo ranks on CPU, through accelerate: the same loss and, after several steps, the same weights as one process."""
    monkeypatch.setattr(sys, "executable", warm.python())
    changes = {"presto": {"weight": 1.0}, "micro_batch_size": 2, "steps": 3, "method": method}
    alone = trained_state(config(**changes), tmp_path / "alone")
    cfg = config(**changes, launch={"processes": 2, "strategy": strategy})
    folder = tiny_model.make(tmp_path / "model", "llama")
    trained = launch.train(folder, "float32", examples(cfg), cfg, 0, tmp_path / "work")
    together = models.load(trained, "float32")[0].state_dict()
    start = models.load(folder, "float32")[0].state_dict()
    moved = max(float((alone[name] - start[name]).abs().max()) for name in alone)
    apart = max(float((alone[name] - together[name]).abs().max()) for name in alone)
    assert moved > 1e-3
    assert apart < 0.02 * moved
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("alone", "work")
    )
    for mine, theirs in zip(one, two, strict=True):
        assert mine["cross_entropy"] == pytest.approx(theirs["cross_entropy"], rel=1e-3)
        assert mine["presto"] == pytest.approx(theirs["presto"], rel=1e-3)
        # AdamW's steps do not show a wrong factor on the gradient; its norm does.
        assert mine["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-3)


def together(cfg, folder, work):
    return models.load(launch.train(folder, "float32", examples(cfg), cfg, 0, work), "float32")[0].state_dict()


def started(cfg, folder, work, steps):
    """The same in a process of its own, once it has made so many steps: the process and all that it started."""
    words = ["import sys; sys.path[:0] = ['tests', 'tests/training']; import test_training as t; from pathlib import Path"]
    words += [f"cfg = t.config(**{cfg.model_dump()!r})"]
    words += [f"t.launch.train(Path({str(folder)!r}), 'float32', t.examples(cfg), cfg, 0, Path({str(work)!r}))"]
    running = subprocess.Popen(
        [sys.executable, "-c", "\n".join(words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    metrics = work / "metrics.jsonl"
    while running.poll() is None and not (metrics.exists() and len(metrics.read_text().splitlines()) >= steps):
        time.sleep(0.05)
    return running, psutil.Process(running.pid).children(recursive=True)


@pytest.mark.faults
@two_devices
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_that_were_killed_go_on_to_the_same_weights(tmp_path, strategy):
    cfg = config(presto={"weight": 1.0}, micro_batch_size=2, steps=30, launch={"processes": 2, "strategy": strategy})
    folder = tiny_model.make(tmp_path / "model", "llama")
    whole = together(cfg, folder, tmp_path / "whole")
    running, children = started(cfg, folder, tmp_path / "parts", 7)
    running.kill()
    running.communicate()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive  # nobody goes on writing into the work folder
    metrics = tmp_path / "parts/metrics.jsonl"
    assert 7 <= len(metrics.read_text().splitlines()) < 30
    resumed = together(cfg, folder, tmp_path / "parts")
    assert len(metrics.read_text().splitlines()) == 30
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.faults
@two_devices
def test_two_processes_that_are_told_to_stop_save_at_the_same_step_and_go_on_from_there(tmp_path):
    """SIGTERM to the job alone, as a cluster's time limit sends it; no checkpoint was due, so that the one it goes on from was saved for that reason."""
    cfg = config(micro_batch_size=2, steps=60, save_every=1000, launch={"processes": 2})
    folder = tiny_model.make(tmp_path / "model", "llama")
    whole = together(cfg, folder, tmp_path / "whole")
    running, children = started(cfg, folder, tmp_path / "parts", 7)
    running.terminate()
    _, said = running.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert re.search(r"told to stop \(SIGTERM\) at step \d+ of 60", said)
    (saved,) = (tmp_path / "parts").glob("checkpoint-*/complete")
    assert 7 <= int(saved.parent.name.split("-")[1]) < 60
    resumed = together(cfg, folder, tmp_path / "parts")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_an_error_in_a_process_comes_back_as_it_was(tmp_path, monkeypatch):
    if torch.cuda.device_count() == 1:
        pytest.skip("one GPU is one device")
    cfg = config(micro_batch_size=2, report_to=["wandb"], launch={"processes": 2})
    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed")
    folder = tiny_model.make(tmp_path / "model", "llama")
    monkeypatch.setattr(sys, "executable", warm.python())
    with pytest.raises(UserError, match="wandb is not installed"):
        launch.train(folder, "float32", examples(cfg), cfg, 0, tmp_path / "work")


def test_more_processes_than_devices_are_refused(tmp_path):
    cfg = config(batch_size=4096, micro_batch_size=1, launch={"processes": 4096})
    with pytest.raises(UserError, match=r"launch\.processes.*4096 processes"):
        launch.train(tmp_path, "float32", [], cfg, 0, tmp_path)


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in "xy":
        model = trainer.train(
            tiny_model.model("llama", len(TOKENIZER)), TOKENIZER, examples(config()), config(), 0, tmp_path / name
        )
        models.save(model, TOKENIZER, tmp_path / f"model_{name}")
    x, y = (load_file(tmp_path / f"model_{name}/model.safetensors") for name in "xy")
    assert all(torch.equal(x[key], y[key]) for key in x)


def test_arms_move_apart(tmp_path):
    """DA, DA + PRESTO, PRESTO only and DA + KL are four different objectives on the same table."""
    arms = {
        "da": config(),
        "da_presto": config(presto={"weight": 1.0}),
        "presto_only": config(presto={"weight": 1.0}, prefilled_cross_entropy=False),
        "da_kl": config(kl={"weight": 1.0}),
    }
    states = [trained_state(cfg, tmp_path / name) for name, cfg in arms.items()]
    for i, one in enumerate(states):
        for other in states[i + 1 :]:
            assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_padding_changes_no_real_tokens_logits(family):
    """Right padding without a mask, also beyond Gemma 3's window of 16: the rows of a batch are what they are alone."""
    from presto_bench.lm.forward import response_logits

    tokenizer = tiny_model.tokenizer(family)
    model = tiny_model.model(family, len(tokenizer))
    texts = ["Hello", "Mix flour, egg and milk, then fry in butter until golden brown on both sides, and serve warm."]
    rows = [chat.encode(tokenizer, "Why?", FORM, "", text) for text in texts]
    together = response_logits(model, rows, tokenizer.eos_token_id)
    for row, logits in zip(rows, together, strict=True):
        alone = model(input_ids=torch.tensor([row.ids])).logits[0, row.response_start - 1 : -1]
        torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)
