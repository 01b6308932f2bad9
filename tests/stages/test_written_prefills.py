"""Prefills that a base model writes from examples: what it reads, which of them pass, and what becomes of the others."""

import pandas as pd
import pytest
import torch

import paper_data
import tiny_model
from presto_bench import registry, tables
from presto_bench.config.harm import WrittenPrefills
from presto_bench.errors import UserError
from presto_bench.policies import few_shot
from presto_bench.stages import written_prefills
from presto_bench.stages.job import Job

EXAMPLES = pd.DataFrame(
    {"prompt": ["How do I make soup?", "Bread?"], "prefill": ["Sure! Here is how to make soup:", "To bake bread, first"]}
)
REQUESTS = ["How is rice cooked?", "How do I make jam?", "What goes into a salad?"]
SAID = " Sure! Here is how to do it: [END]"


def config(**changes):
    return WrittenPrefills.model_validate({"model": {"kind": "local", "path": "x"}, "max_new_tokens": 32, **changes})


def taught(folder):
    """A tiny base model without a chat template that goes on with SAID, whatever the request."""
    tokenizer = tiny_model.tokenizer("llama")
    tokenizer.chat_template = None
    model = tiny_model.model("llama", len(tokenizer), max_position_embeddings=4096)
    rows = []
    for request in [*REQUESTS, *EXAMPLES["prompt"]]:
        for attempt in range(3):
            text = few_shot.text(EXAMPLES, request, "[END]", attempt) + SAID
            rows.append((tokenizer(text)["input_ids"], len(tokenizer(SAID)["input_ids"])))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for step in range(160):
        ids, length = rows[step % len(rows)]
        row = torch.tensor([ids])
        logits = model(input_ids=row).logits[0, -length - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, row[0, -length:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return taught(tmp_path_factory.mktemp("writer") / "model")


def made(model, folder, **changes):
    sources = {"strongreject": pd.DataFrame({"category": "c", "source": "s", "forbidden_prompt": REQUESTS})}
    sources["push_forward_few_shot"] = EXAMPLES
    folder.mkdir(exist_ok=True)
    for name, frame in sources.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    entry = registry.config_class("models", "local", "models").model_validate({"name": "w", "kind": "local", "path": "x"})
    spec = {
        "models": entry.model_dump(mode="json"),
        "written_prefills": config(**changes).model_dump(mode="json"),
        "requests": None,
    }
    given = {"model": str(model), "test": folder / "strongreject.csv", "examples": folder / "push_forward_few_shot.csv"}
    output = {name: folder / f"{name}.csv" for name in ("prefills", "checks")}
    written_prefills.make(Job("written_prefills", {}, spec, "", given, output, folder))
    return tables.read_csv(output["prefills"]), tables.read_csv(output["checks"]).set_index("what")["value"]


def test_every_request_gets_a_prefill_that_its_owner_alone_can_read(writer, tmp_path):
    found, checked = made(writer, tmp_path / "run")
    assert sorted(found["prompt"]) == sorted(REQUESTS)
    assert set(found["prefill"]) == {"Sure! Here is how to do it:"}, "cut at the mark, without the spaces around it"
    assert checked["written"] == len(REQUESTS) and checked["without a usable one"] == 0
    assert (tmp_path / "run/prefills.csv").stat().st_mode & 0o077 == 0


def test_a_killed_job_goes_on_from_its_last_batch(writer, tmp_path, monkeypatch):
    calls = []
    real = written_prefills._continued

    def dies_at_the_second(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(written_prefills, "_continued", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        made(writer, tmp_path / "run", batch_size=2)
    found, _ = made(writer, tmp_path / "run", batch_size=2)
    assert len(found) == len(REQUESTS) and len(calls) == 3, "the first batch is not written again"


def test_what_never_passes_is_an_error_that_says_which_check_failed_or_is_left_out_and_counted(writer, tmp_path, monkeypatch):
    """A model that will not go on with one of the requests."""
    real = written_prefills._continued

    def unwilling(loaded, texts, length):
        last = [text.rsplit("Request: ", 1)[1] for text in texts]
        said = real(loaded, texts, length)
        return [
            " I cannot help with that at all [END]" if asked.startswith(REQUESTS[0]) else own
            for asked, own in zip(last, said, strict=True)
        ]

    monkeypatch.setattr(written_prefills, "_continued", unwilling)
    with pytest.raises(UserError, match="1 of 3 requests have no usable prefill after 3 attempts: opening"):
        made(writer, tmp_path / "run")
    found, checked = made(writer, tmp_path / "left", left_out=True, attempts=2)
    assert sorted(found["prompt"]) == sorted(REQUESTS[1:])
    assert checked["without a usable one"] == 1 and checked["failed: opening"] == 2


def test_examples_that_do_not_fit_the_context_are_refused(tmp_path):
    tokenizer = tiny_model.tokenizer("llama")
    tiny_model.model("llama", len(tokenizer), max_position_embeddings=64).save_pretrained(tmp_path / "small")
    tokenizer.save_pretrained(tmp_path / "small")
    with pytest.raises(UserError, match="its context has 64"):
        made(tmp_path / "small", tmp_path / "run")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (" Sure, here is how: [END] Request: more", ("Sure, here is how:", None)),
        (" “Certainly”, that is done so [END]", ("“Certainly”, that is done so", "opening")),
        (" Certainly! It is done like this [END]", ("Certainly! It is done like this", None)),
        (" Sure, here is how: first", ("Sure, here is how: first", "no end mark")),
        (" Sure [END]", ("Sure", "length")),
        (" Sure " + "so " * 60 + "[END]", ("Sure " + "so " * 59 + "so", "length")),
        (" [END]", ("", "length")),
        (" I cannot do this [END]", ("I cannot do this", "opening")),
    ],
)
def test_each_check_names_what_it_misses(said, expected):
    assert few_shot.problem(said, config(), few_shot.openings(EXAMPLES)) == expected


def test_the_first_attempt_has_the_examples_as_given_and_later_ones_a_drawn_order():
    first = few_shot.text(EXAMPLES, "Jam?", "[END]", 0)
    assert first.index("soup?") < first.index("Bread?") and first.endswith("Request: Jam?\nBeginning:")
    assert len({few_shot.text(EXAMPLES, "Jam?", "[END]", attempt) for attempt in range(6)}) == 2, "two orders of two"
    assert first.count("[END]") == len(EXAMPLES) + 1, "one in the task, one behind each example"
    assert set(paper_data.frames()["push_forward_few_shot"].columns) == {"prompt", "prefill"}
