"""Blind studies: a file of people, targets that are drawn evenly, and a screen that names none of them."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
import test_human_rap
import yaml
from hypothesis import given
from hypothesis import strategies as st

from presto_bench import cli
from presto_bench.attacks.base import Request, Setting
from presto_bench.attacks.human import people, replay, sessions
from presto_bench.attacks.human.people import Person, Target
from presto_bench.attacks.human.screen import RapScreen, Task
from presto_bench.config.attacks import Human
from presto_bench.errors import UserError

ARMS = ("da", "da_presto")
TARGETS = [Target(model, arm, 0) for model in ("llama", "qwen", "gemma") for arm in ARMS]


def written(folder, text):
    path = folder / "people.csv"
    path.write_text(text)
    return path


def test_people_are_read_with_their_levels_and_limits(tmp_path):
    path = written(tmp_path, "person,level,targets,arms\nada,expert,all,\nbob,novice,1,da da_presto\ncleo,novice,2,da\n")
    assert people.read(path, ARMS) == [
        Person("ada", "expert", None),
        Person("bob", "novice", 1, ("da", "da_presto")),
        Person("cleo", "novice", 2, ("da",)),
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("person,level\nada,expert\n", "no column 'targets'"),
        ("person,level,targets\nada,guru,1\n", "row 2.*'guru'"),
        ("person,level,targets\nada,expert,all\nbob,novice,some\n", "row 3.*'some'"),
        ("person,level,targets,arms\nada,expert,1,da rlhf\n", "no arm 'rlhf'"),
        ("person,level,targets\nada,expert,1\nada,novice,1\n", "'ada' stands twice"),
        ("person,level,targets\n../x,expert,1\n", "name of a folder"),
        ("person,level,targets\n", "nobody"),
        ("", "is no CSV"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_row_and_column(tmp_path, text, names):
    with pytest.raises(UserError, match=names):
        people.read(written(tmp_path, text), ARMS)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"people\.csv: there is no such file"):
        people.read(tmp_path / "people.csv", ARMS)


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 1000))
def test_targets_are_drawn_evenly_and_the_same_each_time(novices, each, seed):
    crowd = [Person("ada", "expert", None), *(Person(f"n{i}", "novice", each) for i in range(novices))]
    found = people.assigned(crowd, TARGETS, seed)
    assert found == people.assigned(list(reversed(crowd)), TARGETS, seed), "the order of the file means nothing"
    assert sorted(found["ada"], key=str) == sorted(TARGETS, key=str)
    counts = Counter(target for name, own in found.items() if name != "ada" for target in own)
    assert max(counts.values()) - min(counts.get(target, 0) for target in TARGETS) <= 1
    assert all(len(set(own)) == len(own) for own in found.values())


def test_another_seed_is_another_draw():
    crowd = [Person(f"n{i}", "novice", 1) for i in range(6)]
    assert len({str(people.assigned(crowd, TARGETS, seed)) for seed in range(5)}) > 1


def test_more_targets_than_there_are_is_refused():
    with pytest.raises(UserError, match="7 targets, of 6"):
        people.assigned([Person("ada", "expert", 7)], TARGETS, 0)


def shown(path, *keys, **changes):
    """(what the screen returned, everything that stands on it) after some keys."""
    plain = test_human_rap.task(path)
    job = Task(**{**vars(plain), "title": "target 2 of 3", "done": 4, "of": 20, "blind": True, **changes})

    async def go():
        app = RapScreen(job)
        async with app.run_test(size=(100, 50)) as pilot:
            await pilot.press(*keys)
            await pilot.pause()
            bars = {bar.id: (bar.progress, bar.total) for bar in app.query("ProgressBar")} if app.is_running else {}
            return app.return_value, app.export_screenshot() if app.is_running else "", bars

    return asyncio.run(go())


def test_the_screen_shows_how_far_one_is_and_not_what_one_works_on(tmp_path):
    _, screen, bars = shown(tmp_path / "s.jsonl", "enter", "enter")
    assert bars == {"requests_done": (4, 20), "interactions_done": (2, 50)}
    assert "target" in screen and "tiny" not in screen and "da_presto" not in screen


def test_taking_back_at_the_first_step_goes_to_the_next_request(tmp_path):
    path = tmp_path / "s.jsonl"
    assert shown(path, "b")[0] == "finished"
    state = sessions.replay(*sessions.read(path), test_human_rap.ENDS)[-1]
    assert state == sessions.State(finish="skipped")
    setting = Setting(**{**vars(test_human_rap.setting(path)), "sessions": (str(path),)})
    config = Human(name="human", kind="human", sessions=str(tmp_path))
    (found,) = replay.run(config, "k20", [Request("id0", test_human_rap.PROMPT, test_human_rap.PREFILL)], setting)
    assert found.token_ids == () and found.finish == "length"


def test_behind_the_first_step_taking_back_is_taking_back(tmp_path):
    path = tmp_path / "s.jsonl"
    shown(path, "enter", "b", "b", "q")
    assert [event["event"] for event in sessions.read(path)[1]] == ["pick", "back", "quit"]


def test_the_command_goes_through_the_targets_and_begins_with_one_request_to_practise(finished, monkeypatch, capsys):
    """On a finished run: everybody skips every request; a second call has nothing left."""
    monkeypatch.chdir(finished.path)
    config = yaml.safe_load((finished.path / "tests/config/tiny.yaml").read_text())
    human = {"name": "human", "kind": "human", "sessions": "sessions", "requests": 2, "max_steps": 8}
    (finished.path / "blind.yaml").write_text(yaml.safe_dump(config | {"attacks": [*config["attacks"], human]}))
    written(finished.path, "person,level,targets\nada,expert,all\n")
    titles = []

    def skips(screen):
        titles.append(screen.job.title)
        sessions.begin(screen.job.path, screen.job.start)
        sessions.record(screen.job.path, {"event": "skip", "seconds": 1.0})
        return "finished"

    monkeypatch.setattr(RapScreen, "run", skips)
    words = ["rap", "--config", "blind.yaml", "--blind", "people.csv", "--person", "ada"]
    assert cli.main(words) == 0
    assert titles == ["target 1 of 2, for practice", "target 1 of 2", "target 1 of 2", "target 2 of 2", "target 2 of 2"]
    recorded = sorted(path.parts[1] for path in Path("sessions").rglob("*.jsonl"))
    assert recorded == ["practice", *["tiny"] * 4]
    assert sessions.read(next(Path("sessions/tiny").rglob("*.jsonl")))[0].level == "expert"
    assert cli.main(words) == 0 and len(titles) == 5
    assert cli.main([*words[:-1], "bob"]) == 1 and "'bob' is not in people.csv" in capsys.readouterr().err
