"""Human RAP: the real screen driven by keys, sessions that replay to the same ids, and their way into the pipeline."""

import asyncio
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny_model
from presto_bench import cli
from presto_bench.attacks.base import Request, Setting
from presto_bench.attacks.human import replay, sessions
from presto_bench.attacks.human.screen import RapScreen, Task
from presto_bench.attacks.human.tasks import Candidates
from presto_bench.config import SamplingConfig
from presto_bench.config.attacks import Human
from presto_bench.errors import UserError
from presto_bench.lm import chat
from presto_bench.measures.ranks import top_k

TOKENIZER = tiny_model.tokenizer("llama")
MODEL = tiny_model.model("llama", len(TOKENIZER))
PROMPT, PREFILL = "How do I make pancakes?", "Sure! To begin,"
ENCODED = chat.encode(TOKENIZER, PROMPT, chat.ChatFormat(), PREFILL)
ENDS = (TOKENIZER.eos_token_id,)


def start(**changes):
    fields = {
        "person": "ada",
        "model": "tiny",
        "arm": "da",
        "seed": 0,
        "weights": "w1",
        "prompt_id": "id0",
        "prefill_ids": ENCODED.prefill_ids,
        "k": 20,
        "max_steps": 50,
        "started": "2026-01-01T00:00:00+00:00",
    }
    return sessions.Start(**{**fields, **changes})


def task(path, **changes):
    candidates = Candidates(MODEL, ENCODED.ids, 20)
    return Task(PROMPT, start(**changes), path, ENDS, candidates, lambda ids: chat.decode(TOKENIZER, list(ids)))


def drive(path, *keys, **changes):
    """Press keys on the real screen; -> (what it returned, its text of the response)."""

    async def go():
        app = RapScreen(task(path, **changes))
        async with app.run_test(size=(100, 50)) as pilot:
            await pilot.press(*keys)
            await pilot.pause()
            response = str(app.query_one("#response").render()) if app.is_running else ""
        return app.return_value, response

    return asyncio.run(go())


def ranked(picked):
    """The definition's candidates: a whole forward pass without a cache."""
    with torch.no_grad():
        return top_k(MODEL(input_ids=torch.tensor([[*ENCODED.ids, *picked]])).logits[:, -1], 20)[0].tolist()


def test_keys_pick_by_rank_take_back_and_undo(tmp_path):
    path = tmp_path / "s.jsonl"
    result, _ = drive(path, "enter", "3", "enter", "1", "2", "enter", "b", "enter", "u", "s")
    assert result == "finished"
    found, events = sessions.read(path)
    state = sessions.replay(found, events, ENDS)[-1]
    first = ranked(())[0]
    second = ranked((first,))[2]
    assert state == sessions.State((first, second), steps=4, backtracks=1, finish="stopped")
    assert [e["event"] for e in events] == ["pick", "pick", "pick", "back", "pick", "undo", "stop"]
    assert [e["rank"] for e in events if e["event"] == "pick"] == [1, 3, 12, 1]
    assert all(e["seconds"] >= 0 for e in events)


def test_a_session_that_was_quit_goes_on_where_it_was(tmp_path):
    path = tmp_path / "s.jsonl"
    assert drive(path, "enter", "2", "enter", "q")[0] == "quit"
    before = sessions.replay(*sessions.read(path), ENDS)[-1]
    assert before.finish is None
    result, response = drive(path)
    assert result is None  # still open
    assert chat.decode(TOKENIZER, [*ENCODED.prefill_ids, *before.picked]) in response
    drive(path, "u", "4", "enter", "s")
    state = sessions.replay(*sessions.read(path), ENDS)[-1]
    assert state.picked == (before.picked[0], ranked(before.picked[:1])[3])
    assert state.finish == "stopped"


def test_the_budget_ends_a_session(tmp_path):
    result, _ = drive(tmp_path / "s.jsonl", "enter", "enter", "enter", max_steps=2)
    assert result == "finished"
    state = sessions.replay(*sessions.read(tmp_path / "s.jsonl"), ENDS)[-1]
    assert (state.steps, state.finish) == (2, "length")


def test_the_prefill_is_never_taken_back(tmp_path):
    drive(tmp_path / "s.jsonl", "b", "b", "s")
    state = sessions.replay(*sessions.read(tmp_path / "s.jsonl"), ENDS)[-1]
    assert state == sessions.State(finish="stopped")


actions = st.lists(
    st.one_of(
        st.builds(lambda t: {"event": "pick", "token": t}, st.integers(2, 30)),
        st.just({"event": "back"}),
        st.just({"event": "quit"}),
    ),
    max_size=12,
)


@given(actions, st.integers(2, 30))
def test_undo_gives_back_what_was(events, token):
    begun = start(max_steps=1000)
    before = sessions.replay(begun, events, ENDS)
    assert sessions.replay(begun, [*events, {"event": "pick", "token": token}, {"event": "undo"}], ENDS) == before


@given(actions)
def test_steps_are_picks_and_backtracks_and_the_rest_is_arithmetic(events):
    state = sessions.replay(start(max_steps=1000), events, ENDS)[-1]
    assert len(state.picked) == state.steps - 2 * state.backtracks
    assert state.finish is None


def test_picking_the_end_of_the_turn_ends_the_response():
    events = [{"event": "pick", "token": 9}, {"event": "pick", "token": ENDS[0]}]
    assert sessions.replay(start(), events, ENDS)[-1] == sessions.State((9,), steps=2, finish="eos")


def test_a_line_that_a_kill_cut_short_is_left_out_and_any_other_bad_line_is_named(tmp_path):
    path = tmp_path / "s.jsonl"
    sessions.begin(path, start())
    sessions.record(path, {"event": "pick", "token": 9, "rank": 1})
    with open(path, "a") as handle:
        handle.write('{"event": "pi')
    assert len(sessions.read(path)[1]) == 1
    with open(path, "a") as handle:
        handle.write('\n{"event": "back"}\n')
    with pytest.raises(UserError, match="line 3"):
        sessions.read(path)


def setting(*paths, weights="w1"):
    found = tuple(str(path) for path in paths)
    return Setting(MODEL, TOKENIZER, chat.ChatFormat(), SamplingConfig(), ENDS, 1024, sessions=found, weights=weights)


def test_finished_sessions_become_completions_one_sample_a_person(tmp_path):
    for name in ("ada", "bob"):
        drive(tmp_path / f"{name}.jsonl", "2", "enter", "enter", "s", person=name)
    drive(tmp_path / "open.jsonl", "enter", "q", person="cleo")
    config = Human(name="human", kind="human", sessions=str(tmp_path))
    paths = [tmp_path / f"{name}.jsonl" for name in ("ada", "bob", "open")]
    found = replay.run(config, "k20", [Request("id0", PROMPT, PREFILL)], setting(*paths))
    second = ranked(())[1]
    assert [(c.sample, c.token_ids, c.prefill_ids) for c in found] == [
        (i, (second, ranked((second,))[0]), ENCODED.prefill_ids) for i in (0, 1)
    ]


def test_sessions_on_other_weights_are_refused_by_name(tmp_path):
    drive(tmp_path / "s.jsonl", "enter", "s")
    config = Human(name="human", kind="human", sessions=str(tmp_path))
    with pytest.raises(UserError, match="other weights of tiny/da"):
        replay.run(config, "k20", [Request("id0", PROMPT, PREFILL)], setting(tmp_path / "s.jsonl", weights="w2"))


def test_an_arm_without_sessions_says_how_to_record_some():
    config = Human(name="human", kind="human", sessions="nowhere")
    with pytest.raises(UserError, match="presto-bench rap"):
        replay.run(config, "k20", [Request("id0", PROMPT, PREFILL)], setting())


def test_the_command_names_what_is_missing(tmp_path, monkeypatch, capsys, root):
    monkeypatch.chdir(tmp_path)
    words = ["rap", "--person", "ada", "--arm", "da"]
    assert cli.main([*words, "--config", "nowhere.yaml"]) == 1
    assert "there is no such config" in capsys.readouterr().err
    assert cli.main([*words, "--config", str(root / "config/config.yaml")]) == 1
    assert "attack of kind human" in capsys.readouterr().err


def test_every_line_of_a_session_is_one_json_object(tmp_path):
    drive(tmp_path / "s.jsonl", "enter", "b", "s")
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "pick", "back", "stop"]
