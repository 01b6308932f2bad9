"""What is not a number is never graded: it stops the job that meets it, by the name of arm, request and dtype."""

import json
import math
from functools import partial

import pytest
import torch

import tiny_model
from presto_bench.attacks import direct, guided
from presto_bench.attacks.autorap.attack import Ranker
from presto_bench.attacks.base import Request, Setting, Twin
from presto_bench.config.attacks import Direct, Guided
from presto_bench.config.models import ChatFormat, SamplingConfig
from presto_bench.config.training import TrainingConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, finite
from presto_bench.lm.decoding import continue_rows
from presto_bench.lm.forward import mean_log_likelihoods
from presto_bench.stages.attack import in_memory
from presto_bench.training import trainer
from presto_bench.training.examples import Example

TOKENIZER = tiny_model.tokenizer("llama")
FORM = ChatFormat()
WORD = "pancakes"
POISON = TOKENIZER.encode(WORD, add_special_tokens=False)[0]
PLAIN = chat.encode(TOKENIZER, "How do I make soup?", FORM, "", "Boil it.")
POISONED = chat.encode(TOKENIZER, f"How do I make {WORD}?", FORM, "", "Fry them.")


def model(poisoned=True):
    """A model that says NaN once it has read the token POISON."""
    made = tiny_model.model("llama", len(TOKENIZER))
    made.config._name_or_path = made.name_or_path = "results/standin/models/tiny/da/seed0"
    if poisoned:
        with torch.no_grad():
            made.get_input_embeddings().weight[POISON_ID] = math.nan
    return made


POISON_ID = next(i for i in POISONED.prompt_ids if i not in PLAIN.ids)


def test_decoding_stops_and_names_model_dtype_and_row():
    with pytest.raises(finite.NotFinite, match=r"tiny/da/seed0 \(float32\)") as error:
        continue_rows(model(), [PLAIN.prompt_ids, POISONED.prompt_ids], 8, (1,))
    assert error.value.rows == (1,)


def test_infinities_of_a_small_dtype_stop_it_too():
    large = tiny_model.model("llama", len(TOKENIZER), dtype=torch.float16)
    with torch.no_grad():
        large.get_output_embeddings().weight.fill_(6e4)
        large.base_model.norm.weight.fill_(6e4)
    with pytest.raises(finite.NotFinite, match="float16"):
        continue_rows(large, [PLAIN.prompt_ids], 4, (1,))


def test_a_token_that_a_model_never_says_is_no_fault():
    """-inf among others is a ban, and some models ban padding ids that way."""
    logits = torch.tensor([[0.0, -math.inf, 1.0]])
    assert finite.require(logits, None) is logits
    assert finite.marked(torch.tensor([2]), logits).tolist() == [2]
    assert finite.marked(torch.tensor([0]), torch.full((1, 3), -math.inf)).tolist() == [finite.MARK]


def test_an_empty_response_among_others_has_a_likelihood_of_its_own():
    nothing = chat.encode(TOKENIZER, "How do I make soup?", FORM)
    assert mean_log_likelihoods(model(poisoned=False), [nothing], TOKENIZER.eos_token_id) == [0.0]


def test_teacher_forced_measures_name_the_row():
    """By its place among the texts, though they are measured in order of length."""
    longer = chat.encode(TOKENIZER, "How do I make soup?", FORM, "", "Boil it for an hour and serve it with bread.")
    for texts, place in (([POISONED, longer, PLAIN], 0), ([longer, PLAIN, POISONED], 2)):
        with pytest.raises(finite.NotFinite) as error:
            mean_log_likelihoods(model(), texts, TOKENIZER.eos_token_id, batch=1)
        assert error.value.rows == (place,)


def requests():
    twin = Twin("How do I make soup?", "Sure")
    return [Request("aaaa", "How do I make soup?", "Sure", twin), Request("bbbb", f"How do I make {WORD}?", "Sure", twin)]


def setting(target, parent=None):
    return Setting(target, TOKENIZER, FORM, SamplingConfig(temperature=0), (1,), 1024, parent)


def test_an_attack_names_the_request():
    run = partial(direct.run, Direct(name="d", kind="direct", max_new_tokens=4), "greedy", setting=setting(model()))
    with pytest.raises(UserError, match="request bbbb") as error:
        in_memory(run, requests(), print)
    assert "aaaa" not in str(error.value) and "tiny/da/seed0" in str(error.value)


def test_a_guide_that_says_no_number_is_named_as_such():
    parent = model()
    parent.config._name_or_path = parent.name_or_path = "results/standin/models/tiny/untouched/seed0"
    config = Guided(name="g", kind="guided", max_steps=4, prefill=[True], nulls=[])
    run = partial(guided.run, config, "k20_prefill", setting=setting(model(poisoned=False), parent))
    with pytest.raises(UserError, match=r"untouched/seed0.*\n?.*request bbbb"):
        in_memory(run, requests(), print)


def test_ranks_for_a_search_name_the_row():
    rows = [PLAIN, POISONED]
    with pytest.raises(finite.NotFinite) as error:
        Ranker(model(), rows, 20)({1: ()})
    assert error.value.rows == (1,)


def test_a_training_that_diverges_stops_there_and_keeps_the_checkpoints_before(tmp_path, monkeypatch):
    config = TrainingConfig(method="full", steps=6, batch_size=1, micro_batch_size=1, save_every=1, lr=1e-3)
    example = Example("aaaa", PLAIN, True, len(PLAIN.response_ids))
    plain = trainer.ObjectiveTrainer._clip_grad_norm

    def poisoned(self, wrapped):
        if self.state.global_step == 3:
            next(p for p in wrapped.parameters() if p.grad is not None).grad.fill_(math.nan)
        return plain(self, wrapped)

    monkeypatch.setattr(trainer.ObjectiveTrainer, "_clip_grad_norm", poisoned)
    with pytest.raises(UserError, match=r"step 4.*gradient_norm") as error:
        trainer.train(model(poisoned=False), TOKENIZER, [example] * 6, config, 0, tmp_path)
    assert "diverged" in error.value.what
    assert trainer.CheckpointSeal.last_whole(tmp_path).endswith("checkpoint-3")
    assert all(
        math.isfinite(json.loads(line)["cross_entropy"]) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    )


def test_weights_that_are_no_numbers_are_not_saved():
    with pytest.raises(UserError, match="nothing is saved"):
        trainer.merged(model(), TrainingConfig(method="full"))
