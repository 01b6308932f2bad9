"""Utility tasks on a tiny model: lm_eval on a local task, MT-Bench through a real endpoint, with files made up in the published formats."""

import json

import pandas as pd
import pytest
from pydantic import ValidationError

import tiny_model
from endpoint import Endpoint
from presto_bench import config
from presto_bench.config import source_names
from presto_bench.config.tasks import LmEval, MtBench, RefusalRate
from presto_bench.errors import UserError
from presto_bench.judges import refusal_names
from presto_bench.lm import chat, models
from presto_bench.lm.decoding import Continuation
from presto_bench.utility import mt_bench, refusal_rate
from presto_bench.utility.base import Question, Setting

THINKING_OFF = chat.ChatFormat(thinking=False)


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    return models.load(tiny_model.make(tmp_path_factory.mktemp("qwen3"), "qwen3"), "float32")


PROMPTS = {
    "single-v1": "Grade. [[rating]]\nQ: {question}\nA: {answer}",
    "single-math-v1": "Grade. [[rating]]\nQ: {question}\nRight: {ref_answer_1}\nA: {answer}",
    "single-v1-multi-turn": "Q1: {question_1}\nA1: {answer_1}\nQ2: {question_2}\nA2: {answer_2} [[rating]]",
    "single-math-v1-multi-turn": "Q1: {question_1}\nR1: {ref_answer_1}\nQ2: {question_2}\nR2: {ref_answer_2}\nA1: {answer_1}\nA2: {answer_2} [[rating]]",
}


@pytest.fixture
def files(tmp_path):
    rows = {
        "mt_bench": [
            {
                "question_id": 81,
                "category": "writing",
                "turns": ["Write a line about rain.", "Make it shorter."],
                "reference": ["no"],
            },
            {"question_id": 111, "category": "math", "turns": ["What is 2 + 2?", "And twice that?"]},
        ],
        "mt_bench_prompts": [
            {"name": n, "system_prompt": "You grade.", "prompt_template": text} for n, text in PROMPTS.items()
        ],
        "mt_bench_references": [{"question_id": 111, "choices": [{"turns": ["It is {4}.", "It is 8."]}]}],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {name: tmp_path / f"{name}.jsonl" for name in rows}


def task(url):
    grader = {"model": "grader", "base_url": f"{url}/v1", "key": None}
    return MtBench(name="mt", kind="mt_bench", grader=grader, max_new_tokens=8)


def test_both_turns_of_every_question_are_answered_and_rated_and_nothing_is_paid_for_twice(qwen3, files, tmp_path):
    server = Endpoint("--guess")
    try:
        setting = Setting(*qwen3, THINKING_OFF, files, tmp_path / "replies")
        found = mt_bench.run(task(server.url), [], setting)
        calls = server.stats()["calls"]
        assert [m.category for m in found] == ["writing", "writing", "math", "math"]
        assert all(1 <= m.value <= 10 for m in found) and len({m.prompt_id for m in found}) == 4
        assert calls == 4
        assert mt_bench.run(task(server.url), [], setting) == found
        assert server.stats()["calls"] == 4
    finally:
        server.stop()


@pytest.mark.parametrize(("unfinished", "values"), [("missing", [True, True, False, False]), ("grade", [True] * 4)])
def test_reasoning_without_an_end_is_missing_or_graded_as_the_task_says(
    qwen3, files, tmp_path, monkeypatch, unfinished, values
):
    """The math question is thought about until the tokens run out, the other is answered; the paper grades both."""
    model, tokenizer = qwen3
    answered = chat.encode_text(tokenizer, "Rain falls.")
    thought = tokenizer.encode("<think>\nTwo and two", add_special_tokens=False)

    def continued(model, rows, longest, ends, pick):
        return [Continuation(tuple(thought if "2 + 2" in tokenizer.decode(row) else answered), "length") for row in rows]

    monkeypatch.setattr(mt_bench, "continue_rows", continued)
    server = Endpoint("--guess")
    try:
        setting = Setting(model, tokenizer, chat.ChatFormat(thinking=True), files, tmp_path / "replies", tmp_path)
        entry = task(server.url).model_copy(update={"unfinished": unfinished})
        found = mt_bench.run(entry, [], setting)
        assert [m.value is not None for m in found] == values
        assert server.stats()["calls"] == sum(values)
        assert mt_bench.run(entry, [], setting) == found, "what is kept says that it was no answer"
    finally:
        server.stop()


def test_the_second_turn_is_asked_behind_the_first_answer(qwen3):
    _, tokenizer = qwen3
    ids = chat.encode_turns(tokenizer, ["Write a line.", "Rain.", "Shorter."], THINKING_OFF)
    text = tokenizer.decode(ids)
    assert [text.index(part) for part in ("Write a line.", "Rain.", "Shorter.")] == sorted(
        text.index(part) for part in ("Write a line.", "Rain.", "Shorter.")
    )
    assert text.endswith("</think>\n\n") and text.count("<|im_start|>assistant") == 2


def test_a_reference_stands_where_the_category_has_one_and_braces_in_answers_mean_nothing(files):
    from presto_bench.data import source_files

    prompts = source_files.read("mt_bench_prompts", files["mt_bench_prompts"]).set_index("name")
    writing, math = mt_bench.read(files, None)
    said = ["I say {question_2}.", "Eight {answer}."]
    shown = mt_bench.grading(prompts, math, said, 1)[1]["content"]
    assert shown == (
        "Q1: What is 2 + 2?\nR1: It is {4}.\nQ2: And twice that?\nR2: It is 8.\nA1: I say {question_2}.\nA2: Eight {answer}. [[rating]]"
    )
    assert "Right" not in mt_bench.grading(prompts, writing, said, 0)[1]["content"]


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("Fine. Rating: [[7]]", 7.0),
        ("[[7.5]]", 7.5),
        ("First [[7]], and so [[7]]", 7.0),
        ("[[7]] or [[8]]", None),
        ("[[11]]", None),
        ("[[0]]", None),
        ("Rating: 7", None),
        ("", None),
        (None, None),
    ],
)
def test_a_rating_is_read_or_missing_and_never_guessed(text, rating):
    assert mt_bench.rating(text) == rating


@pytest.fixture(scope="module")
def capitals(tmp_path_factory):
    """A local lm_eval task."""
    tmp_path = tmp_path_factory.mktemp("capitals")
    docs = [
        {"q": "The capital of France is", "a": "Paris"},
        {"q": "The capital of Peru is", "a": "Lima"},
        {"q": "Two and two is", "a": "four"},
    ]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    data = f"""dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path / "docs.jsonl"}}}}}
test_split: test
"""
    answered = """output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 4}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
    read = """output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{q}}"
metric_list: [{metric: word_perplexity}]
"""
    for task, rest in {"capitals": answered, "rivers": answered, "texts": read}.items():
        (tmp_path / f"{task}.yaml").write_text(f"task: {task}\n{data}{rest}")
    (tmp_path / "places.yaml").write_text("group: places\ntask: [capitals, rivers]\n")
    return tmp_path


def test_a_local_lm_eval_task_measures_every_document(qwen3, capitals):
    from presto_bench.utility import harness

    entry = LmEval(name="capitals", kind="lm_eval", task="capitals", include_path=str(capitals), batch_size=2)
    found = harness.run(entry, [], Setting(*qwen3, THINKING_OFF))
    assert [m.value for m in found] == [0.0, 0.0, 0.0]  # a random model knows no capitals
    assert len({m.prompt_id for m in found}) == 3
    assert harness.run(entry, [], Setting(*qwen3, THINKING_OFF)) == found


def test_a_group_is_its_tasks_together(qwen3, capitals):
    """It ended in a KeyError, after the whole evaluation."""
    from presto_bench.utility import harness

    entry = LmEval(name="places", kind="lm_eval", task="places", include_path=str(capitals))
    found = harness.run(entry, [], Setting(*qwen3, THINKING_OFF))
    assert sorted(m.category for m in found) == ["capitals"] * 3 + ["rivers"] * 3
    assert len({m.prompt_id for m in found}) == 6


def test_a_metric_that_is_no_number_is_refused_before_the_whole_is_measured(qwen3, capitals, monkeypatch):
    from presto_bench.errors import UserError
    from presto_bench.utility import harness

    asked = []
    evaluated = harness._evaluated
    monkeypatch.setattr(
        harness, "_evaluated", lambda config, setting, limit: asked.append(limit) or evaluated(config, setting, limit)
    )
    entry = LmEval(name="t", kind="lm_eval", task="texts", metric="word_perplexity", include_path=str(capitals), chat=False)
    with pytest.raises(UserError, match=r"word_perplexity.*is a tuple"):
        harness.run(entry, [], Setting(*qwen3, THINKING_OFF))
    assert asked == [1], "one document tells"


def test_a_task_s_description_stands_before_its_question(qwen3):
    """lm_eval hands it over as a system prompt, and such a task was refused."""
    from presto_bench.utility import harness

    model, tokenizer = qwen3
    ours = harness.OurModel(Setting(model, tokenizer, THINKING_OFF), 1, True)
    history = [{"role": "system", "content": "Name the capital.\n\n"}, {"role": "user", "content": "Peru?"}]
    wanted = chat.render_prompt(tokenizer, "Name the capital.\n\nPeru?", THINKING_OFF)
    assert ours.apply_chat_template(history) == wanted


def test_examples_may_be_turns_of_their_own(qwen3):
    from presto_bench.utility import harness

    model, tokenizer = qwen3
    ours = harness.OurModel(Setting(model, tokenizer, THINKING_OFF), 1, True)
    said = [("user", "Peru?"), ("assistant", "Lima"), ("user", "France?")]
    history = [{"role": "system", "content": "Name it."}, *({"role": role, "content": text} for role, text in said)]
    assert ours.apply_chat_template(history) == chat.render_turns(
        tokenizer, ["Name it.\n\nPeru?", "Lima", "France?"], THINKING_OFF
    )


def test_gsm8k_as_the_paper_asks_it(qwen3, tmp_path, monkeypatch):
    """gsm8k_cot_llama with a pinned file: eight worked examples as turns, the family's sampling, a limit of our own."""
    from presto_bench.utility import harness

    problems = pd.DataFrame(
        {"question": ["What is 2 + 2?", "What is 3 + 3?"], "answer": ["2 + 2 = 4\n#### 4", "3 + 3 = 6\n#### 6"]}
    )
    problems.to_parquet(tmp_path / "gsm8k.parquet")
    turns, given = [], []
    rendered, generated = chat.render_turns, harness.OurModel._model_generate
    monkeypatch.setattr(
        chat, "render_turns", lambda tokenizer, said, form: turns.append(said) or rendered(tokenizer, said, form)
    )
    monkeypatch.setattr(
        harness.OurModel, "_model_generate", lambda self, *a, **kw: given.append(kw) or generated(self, *a, **kw)
    )
    entry = LmEval(
        name="gsm8k",
        kind="lm_eval",
        task="gsm8k_cot_llama",
        filter="strict-match",
        splits={"test": "gsm8k"},
        examples_as_turns=True,
        max_new_tokens=4,
        sampling={"temperature": 0.7, "top_p": 0.8, "top_k": 20},
    )
    setting = Setting(*qwen3, THINKING_OFF, {"gsm8k": tmp_path / "gsm8k.parquet"}, sampling=entry.sampling)
    with pytest.raises(UserError, match=r"fills the model's context of 1024"):
        harness.run(entry, [], setting)  # lm_eval would cut the prompt at its beginning, without a word
    monkeypatch.setattr(qwen3[0].config, "max_position_embeddings", 2000)
    found = harness.run(entry, [], setting)
    assert [m.value for m in found] == [0.0, 0.0]  # a random model cannot add
    assert {len(said) for said in turns} == {17} and turns[-1][1].endswith("The final answer is 6")
    assert all(kw["max_length"] <= 2000 for kw in given), "the prompt whole, and an answer as long as there is room for"
    assert given and all(kw["do_sample"] and kw["temperature"] == 0.7 and kw["top_k"] == 20 for kw in given)
    assert harness.run(entry, [], setting) == found


def test_its_prompts_go_the_one_path_and_no_token_is_doubled(qwen3):
    from presto_bench.utility import harness

    model, tokenizer = qwen3
    ours = harness.OurModel(Setting(model, tokenizer, THINKING_OFF), 1, True)
    text = ours.apply_chat_template([{"role": "user", "content": "How is bread made?"}])
    assert ours.tok_encode(text) == chat.encode_prompt(tokenizer, "How is bread made?", THINKING_OFF)
    with pytest.raises(UserError, match="does not end with a user's turn"):
        ours.apply_chat_template([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])


def test_a_metric_that_the_task_does_not_have_is_named(qwen3, capitals):
    from presto_bench.errors import UserError
    from presto_bench.utility import harness

    entry = LmEval(name="capitals", kind="lm_eval", task="capitals", include_path=str(capitals), filter="strict-match")
    with pytest.raises(UserError, match="strict-match") as error:
        harness.run(entry, [], Setting(*qwen3, THINKING_OFF))
    assert "its filters are none" in error.value.mend


def test_a_model_with_a_bos_gets_it_once(tmp_path):
    from presto_bench.utility import harness

    model, tokenizer = models.load(tiny_model.make(tmp_path / "gemma3", "gemma3"), "float32")
    ours = harness.OurModel(Setting(model, tokenizer, chat.ChatFormat()), 1, True)
    ids = ours.tok_encode(ours.apply_chat_template([{"role": "user", "content": "How is bread made?"}]))
    assert ids == chat.encode_prompt(tokenizer, "How is bread made?", chat.ChatFormat())
    assert ids.count(tokenizer.bos_token_id) == 1


def test_a_benign_request_may_stand_behind_a_prefill_and_a_history(qwen3):
    """Of three requests the second is asked behind the third and the first, and starts with its own answer's first tokens."""
    model, tokenizer = qwen3
    questions = [Question(str(i), f"Question number {i}?", f"The answer is {i} and no more.") for i in range(3)]
    entry = RefusalRate(name="r", kind="refusal_rate", prefill_tokens=4, history=2)
    text = tokenizer.decode(refusal_rate.row(entry, questions, 1, Setting(model, tokenizer, THINKING_OFF)))
    parts = ["Question number 2?", "The answer is 2", "Question number 0?", "The answer is 0", "Question number 1?", "</think>"]
    places = [text.rindex(part) if part == "</think>" else text.index(part) for part in parts]
    assert places == sorted(places)
    prefill = tokenizer.decode(chat.encode_text(tokenizer, questions[1].answer)[:4])
    assert text.endswith(prefill) and questions[1].answer not in text


def test_what_is_refused_counts_and_what_a_prefill_says_does_not(qwen3):
    model, tokenizer = qwen3
    questions = [Question(str(i), f"Question number {i}?", "I cannot help with that, I fear.") for i in range(3)]
    told = []

    def refuses(text):
        told.append(text)
        return len(told) == 2

    setting = Setting(model, tokenizer, THINKING_OFF, refuses=refuses)
    entry = RefusalRate(name="r", kind="refusal_rate", prefill_tokens=4, max_new_tokens=4)
    assert [m.value for m in refusal_rate.run(entry, questions, setting)] == [0.0, 1.0, 0.0]
    assert not any("cannot help" in text for text in told)


def test_a_grader_labels_each_answer_once_and_what_it_stopped_decodes_nothing_anew(qwen3, tmp_path, monkeypatch):
    model, tokenizer = qwen3
    asked = [Question(f"p{i}", f"What is {i} and {i}?", "") for i in range(6)]
    server = Endpoint("--guess")
    try:
        grader = {"model": "grader", "base_url": f"{server.url}/v1", "key": None, "retries": 1}
        entry = RefusalRate(name="r", kind="refusal_rate", grader=grader, max_new_tokens=4)
        setting = Setting(model, tokenizer, THINKING_OFF, store=tmp_path / "replies", work=tmp_path)
        server.script(*["403"] * 20)
        with pytest.raises(UserError, match=r"tasks\.r\.grader"):
            refusal_rate.run(entry, asked, setting)
        server.script()
        monkeypatch.setattr(refusal_rate, "continue_rows", None)  # whoever decodes again fails
        found = refusal_rate.run(entry, asked, setting)
        assert server.stats()["calls"] == 6
        assert {m.label for m in found} <= set(refusal_names.LABELS) and [m.prompt_id for m in found] == [
            f"p{i}" for i in range(6)
        ]
        assert [m.value for m in found] == [float(m.label == "full_refusal") for m in found]
        assert refusal_rate.run(entry, asked, setting) == found and server.stats()["calls"] == 6
    finally:
        server.stop()


def test_a_grader_reads_whole_answers_and_keywords_the_beginning():
    assert RefusalRate(name="r", kind="refusal_rate").max_new_tokens == 32
    grader = {"model": "grader", "base_url": "http://localhost:1/v1", "key": None}
    assert RefusalRate(name="r", kind="refusal_rate", grader=grader).max_new_tokens == 256
    assert RefusalRate(name="r", kind="refusal_rate", grader=grader, max_new_tokens=64).max_new_tokens == 64


def test_a_grader_outside_this_machine_is_opted_in_by_name():
    with pytest.raises(ValidationError, match="allow_host"):
        RefusalRate(name="r", kind="refusal_rate", grader={"model": "gpt", "base_url": "https://api.openai.com/v1"})


def test_a_task_asks_for_the_sources_that_it_reads(raw_config):
    raw_config["tasks"] += [
        {
            "name": "gsm8k",
            "kind": "lm_eval",
            "task": "gsm8k",
            "filter": "strict-match",
            "splits": {"train": "gsm8k_train", "test": "gsm8k"},
        }
    ]

    assert source_names.used(config.load(raw_config)) == ["gsm8k", "gsm8k_train"]
