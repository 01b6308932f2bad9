"""Forms of prefill: the package's table, a user's own, and words inside a block of reasoning."""

import pytest

import tiny_model
import zoo
from presto_bench.attacks import prefill_kinds, prefilling
from presto_bench.attacks.base import Request, Setting
from presto_bench.config import SamplingConfig
from presto_bench.config.attacks import Prefilling
from presto_bench.errors import UserError
from presto_bench.lm import chat, models

REQUESTS = [Request("id0", "How do I make pancakes?", "Sure!"), Request("id1", "Soup?", "Sure!")]


PLAIN = chat.ChatFormat()


def setting_of(family, form=PLAIN):
    tokenizer = tiny_model.tokenizer(family)
    model = tiny_model.model(family, len(tokenizer))
    return Setting(model, tokenizer, form, SamplingConfig(temperature=0), chat.end_of_turn(tokenizer, model), 1024)


def config(**changes):
    return Prefilling.model_validate({"name": "p", "kind": "prefilling", "max_new_tokens": 6, **changes})


@pytest.mark.parametrize("kind", ["affirmative", "list", "code_block", "role", "document", "translation"])
def test_each_kind_of_the_package_stands_before_what_the_model_says(kind):
    setting = setting_of("llama")
    assert f"kind_{kind}" in config(kinds=[kind]).variants()
    found = prefilling.run(config(kinds=[kind]), f"kind_{kind}", REQUESTS, setting)
    text = prefill_kinds.prefills(config())[kind]
    assert [c.prompt_id for c in found] == ["id0", "id1"]
    assert {chat.decode(setting.tokenizer, list(c.prefill_ids)) for c in found} == {text}
    assert all(c.token_ids for c in found)


def test_a_users_table_adds_kinds_and_replaces_some(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('kind,prefill\nletter,"Dear friend,"\nlist,"a)"\n')
    found = prefill_kinds.prefills(config(kinds_file=str(path)))
    assert found["letter"] == "Dear friend," and found["list"] == "a)" and found["role"].startswith("Speaking")


@pytest.mark.parametrize("text", ["kind,text\nletter,Dear\n", "kind,prefill\nletter,\n", None])
def test_a_table_that_cannot_be_read_is_named(tmp_path, text):
    path = tmp_path / "mine.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"mine\.csv: no table of prefills"):
        prefill_kinds.prefills(config(kinds_file=str(path)))


def test_a_kind_that_nobody_knows_is_refused_with_those_that_are_known():
    with pytest.raises(UserError, match=r"(?s)no kind .poem.*affirmative.*reasoning"):
        prefilling.run(config(kinds=["poem"]), "kind_poem", REQUESTS, setting_of("llama"))


@pytest.mark.parametrize("thinking", [None, False])
def test_words_inside_the_block_of_reasoning_are_a_prefill_that_no_judge_sees(thinking):
    setting = setting_of("qwen3", chat.ChatFormat(thinking=thinking))
    found = prefilling.run(config(kinds=["reasoning"]), "kind_reasoning", REQUESTS, setting)
    assert len(found) == 2
    row = prefill_kinds.rows(config(), "reasoning", REQUESTS, setting)[0]
    whole = setting.tokenizer.decode(list(row.ids))
    assert whole.endswith(f"assistant\n<think>\n{prefill_kinds.THOUGHT}") and whole.count("<think>") == 1
    for completion in found:
        ended = [*completion.prefill_ids, *setting.tokenizer.encode("</think>\n\nMix flour.", add_special_tokens=False)]
        assert chat.decode(setting.tokenizer, ended) == "Mix flour."


def test_a_template_that_opens_the_block_itself_is_cut_before_it(tmp_path):
    model, tokenizer = models.load(zoo.ZOO["open_reasoning"].make(tmp_path / "model"), "float32")
    setting = Setting(model, tokenizer, chat.ChatFormat(), SamplingConfig(), chat.end_of_turn(tokenizer, model), 1024)
    (row, _) = prefill_kinds.rows(config(), "reasoning", REQUESTS, setting)
    assert tokenizer.decode(list(row.prefill_ids)).startswith("<think>")
    assert tokenizer.decode(list(row.ids)).count("<think>") == 1 and "</think>" not in tokenizer.decode(list(row.ids))


def test_a_model_without_a_block_of_reasoning_has_no_such_variant():
    assert prefilling.run(config(kinds=["reasoning"]), "kind_reasoning", REQUESTS, setting_of("llama")) == []
