"""PRESTO in other people's trainers: the real transformers.Trainer and the real TRL SFTTrainer."""

import re

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer

import naive_attention
import tiny_model
from presto_bench.config import PrestoConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat
from presto_bench.training.own_trainer import PrefillCollator, presto, row

TOKENIZER = tiny_model.tokenizer("llama")
ROWS = [
    row(TOKENIZER, "How do I make pancakes?", "I can't help with cooking.", "Mix flour, egg and milk, then"),
    row(TOKENIZER, "Why is the sky blue?", "Because air scatters blue light."),
    row(TOKENIZER, "Give me a recipe for salsa.", "Sorry, no recipes here.", "Chop tomato and"),
    row(TOKENIZER, "What is DNA?", "A molecule that carries genes."),
]
COMMON = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-3,
    "use_cpu": True,
    "report_to": [],
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "remove_unused_columns": False,
    "bf16": False,
}


def tiny():
    return tiny_model.model("llama", len(TOKENIZER))


def hf_trainer(folder, **changes):
    arguments = TrainingArguments(output_dir=str(folder), **{**COMMON, **changes})
    return Trainer(tiny(), arguments, train_dataset=ROWS, eval_dataset=ROWS, data_collator=PrefillCollator(TOKENIZER))


def sft_trainer(folder, **more):
    arguments = SFTConfig(
        output_dir=str(folder), dataset_kwargs={"skip_prepare_dataset": True}, gradient_checkpointing=False, **COMMON
    )
    data, collator = Dataset.from_list(ROWS), PrefillCollator(TOKENIZER)
    return SFTTrainer(tiny(), arguments, train_dataset=data, data_collator=collator, processing_class=TOKENIZER, **more)


def mass_by_definition(model):
    """2 / layers x the mass on each row's prefill, summed over both prefilled rows, from attention written out."""
    model = model.double()
    model.set_attn_implementation(naive_attention.NAME)
    total = 0.0
    for r in ROWS:
        p, e = r["prefill_start"], r["prefill_end"]
        matrices = model(input_ids=torch.tensor([r["input_ids"]]), output_attentions=True).attentions
        total += sum(2 * a[0, :, p:, p:e].sum().item() for a in matrices) / len(matrices)
    return total


def labelled_tokens():
    return sum(label != -100 for r in ROWS for label in r["labels"])


@pytest.mark.parametrize("make", [hf_trainer, sft_trainer])
def test_the_first_steps_term_is_the_definitions_over_the_trainers_own_token_count(tmp_path, make):
    trainer = make(tmp_path)
    with presto(trainer, PrestoConfig(weight=1.5)) as term:
        trainer.train()
    assert len(term.values) == 4
    wanted = 1.5 * mass_by_definition(tiny()) / labelled_tokens()
    assert sum(term.values[:2]) == pytest.approx(wanted, rel=1e-4)  # both micro-batches of the first optimiser step


@pytest.mark.parametrize("make", [hf_trainer, sft_trainer])
def test_the_logged_loss_is_the_plain_loss_plus_the_term(tmp_path, make):
    plain, with_term = make(tmp_path / "plain"), make(tmp_path / "term")
    plain.train()
    with presto(with_term) as term:
        with_term.train()
    first = [next(entry["loss"] for entry in t.state.log_history if "loss" in entry) for t in (plain, with_term)]
    first = [float(value) for value in first]
    assert first[1] == pytest.approx(first[0] + sum(term.values[:2]), rel=1e-3)
    pairs = zip(plain.model.parameters(), with_term.model.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_it_works_through_the_peft_wrapper_that_trl_makes(tmp_path):
    trainer = sft_trainer(tmp_path, peft_config=LoraConfig(target_modules="all-linear", r=4))
    with presto(trainer) as term:
        trainer.train()
    assert sum(term.values[:2]) == pytest.approx(mass_by_definition(tiny()) / labelled_tokens(), rel=1e-3)


def test_evaluation_is_left_alone_and_the_model_gets_its_attention_back(tmp_path):
    trainer = hf_trainer(tmp_path)
    before = float(trainer.evaluate()["eval_loss"])
    with presto(trainer):
        assert float(trainer.evaluate()["eval_loss"]) == pytest.approx(before, rel=1e-5)
    assert trainer.model.config._attn_implementation == "sdpa"
    assert not trainer.model.base_model._forward_hooks


def test_a_batch_without_spans_is_refused_with_the_mend(tmp_path):
    trainer = hf_trainer(tmp_path, remove_unused_columns=True)
    with presto(trainer), pytest.raises(UserError, match="remove_unused_columns=False"):
        trainer.train()


def test_the_documented_examples_run_as_they_stand(root, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (root / "docs/explanation/presto.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    names = {"FOLDER": str(tiny_model.make(tmp_path / "model", "llama"))}
    for block in blocks:
        exec(compile(block, "docs/explanation/presto.md", "exec"), names)
    assert names["term"].values[0] > 0


def test_rows_go_the_one_path_for_prompts():
    encoded = chat.encode(TOKENIZER, "How do I make pancakes?", chat.ChatFormat(), "Mix flour, egg and milk, then", [])
    found = ROWS[0]
    assert found["input_ids"][: found["prefill_end"]] == list(encoded.ids)
    assert found["labels"][: found["prefill_end"]] == [-100] * found["prefill_end"]
    assert found["labels"][found["prefill_end"] :] == found["input_ids"][found["prefill_end"] :]
