"""What an experiment is to produce, as pure functions of its config: files, figures, and what jobs ask of a machine."""

from types import SimpleNamespace

import pytest
import yaml

from presto_bench import config
from presto_bench.runs.shown import Shown
from presto_bench.runs.specs import Machine, Specs


@pytest.fixture
def tiny(root):
    return yaml.safe_load((root / "tests/config/tiny.yaml").read_text())


def shown(raw) -> Shown:
    return Shown(config.load(raw), "lists")


def test_every_arm_is_attacked_graded_and_measured_once(tiny):
    wanted = shown(tiny)
    assert wanted.completions() == [f"results/tiny/attacks/guided/tiny/{arm}/seed0.parquet" for arm in ("base", "da")]
    assert wanted.grades(["standin"]) == [
        f"results/tiny/grades/standin/guided/tiny/{arm}/seed0.parquet" for arm in ("base", "da")
    ]
    assert wanted.measured_ranks() == [f"results/tiny/ranks/tiny/{arm}/seed0.parquet" for arm in ("base", "da")]
    assert wanted.triples() == ["results/tiny/data/tiny/triples/varied.parquet"]
    assert wanted.trained("{arm}{seed}") == ["da0"]
    assert (wanted.composition(), wanted.candidates(), wanted.caused(), wanted.utilities()) == ([], [], [], [])


def test_a_direct_request_also_goes_to_the_untouched_model_of_a_stand_in(tiny):
    tiny["attacks"].append({"name": "direct", "kind": "direct"})
    assert "results/tiny/attacks/direct/tiny/untouched/seed0.parquet" in shown(tiny).completions()


def test_an_arm_that_nobody_has_worked_on_is_not_attacked_by_hand(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny["attacks"].append({"name": "human", "kind": "human", "sessions": "sessions"})
    assert not [path for path in shown(tiny).completions() if "human" in path]
    (tmp_path / "sessions/tiny/da/seed0/ada").mkdir(parents=True)
    (tmp_path / "sessions/tiny/da/seed0/ada/p.jsonl").touch()
    assert [path for path in shown(tiny).completions() if "human" in path] == [
        "results/tiny/attacks/human/tiny/da/seed0.parquet"
    ]


def test_every_seed_has_its_own_trained_files_and_the_base_one(tiny):
    wanted = shown(tiny | {"seeds": [0, 3]})
    assert wanted.measured_ranks() == [
        f"results/tiny/ranks/tiny/{run}.parquet" for run in ("base/seed0", "da/seed0", "da/seed3")
    ]


def test_a_figure_is_drawn_where_there_is_something_to_show(tiny):
    plain = shown(tiny).figure_needs()
    assert {"pareto", "scores", "ranks", "training", "sweeps"} <= set(plain)
    assert not {"autorap", "reach", "causal", "seeds", "utility", "judges"} & set(plain)
    tiny |= {"tasks": [{"name": "heldout", "kind": "answer_loss"}], "seeds": [0, 1]}
    assert set(shown(tiny).figure_needs()) - set(plain) == {"seeds", "utility"}


def test_the_default_experiments_headline_is_guided_with_a_prefill_and_so_is_its_null(raw_config):
    found = shown(raw_config)
    assert found.rap() == ["guided", "k20_prefill"]
    assert found.null_pair() == ["k20_prefill", "k20_prefill_swapped"]


def test_a_job_that_was_killed_asks_for_more_memory_and_time_and_for_no_more_gpus(tiny):
    tiny["models"][0]["resources"] = {"gpu": 2, "mem_mb": 1000, "runtime": 10}
    job = SimpleNamespace(model="tiny", arm="da")
    machine = Machine(config.load(tiny))
    for attempt in (1, 2):
        asked = {name: of(job, attempt) for name, of in machine.of_model().items()}
        assert asked == {"gpu": 2, "gres": "", "mem_mb": 1000 * attempt, "runtime": 10 * attempt}
    assert machine.of_training()["save_every"](job, 1) == 4
    as_gres = Machine(config.load(tiny | {"gpu_form": "gres"}))
    assert {name: of(job, 1) for name, of in as_gres.of_model(only=("gpu", "gres")).items()} == {"gpu": 0, "gres": "gpu:2"}


def test_a_stage_sees_nothing_that_it_does_not_use(tiny):
    specs = Specs(config.load(tiny))
    assert "resources" not in specs.model_spec("tiny") and "dtype" not in specs.model_spec("tiny", "chat")
    assert "chat" in specs.model_spec("tiny", "chat")
    assert not {"save_every", "report_to", "only"} & set(specs.arm_spec("da"))
    assert "batch_size" in specs.attack_spec("guided") and "shards" not in specs.attack_spec("guided")
