"""What an edit makes stale: each row's rules were written down by hand before the first run."""

import os
import shutil
from contextlib import contextmanager

import pytest

from project import edit, moved

FIGURES = 10
AGGREGATES = {
    "tables": 1,
    "fidelity": 1,
    "figure": FIGURES,
    "manifest": 1,
    "front_page": 1,
    "verdicts": 1,
    "corrected_means": 1,
    "page": 1,
}
GRADED = {"grade_attack": 2} | AGGREGATES
ATTACKED = {"attack_arm": 2, "steps": 2} | GRADED
ONE_SEED = {"augment": 1, "finetune_arm": 1, "attack_arm": 1, "grade_attack": 1, "ranks": 1} | AGGREGATES
ONE_ARM = ONE_SEED | {"steps": 1}
RECORDED = {"manifest": 1, "page": 1}  # which say what the config was
TINY = "tests/config/tiny.yaml"
ARM = "  - {name: da_presto, inherits: da, presto: {weight: 2.0}}\nattacks:\n"
MODEL = "  - {name: zwei, kind: local, path: downloads/tiny-llama, sampling: {temperature: 0.7}}\narms:\n"
NEW_MODEL = {
    "doctor": 1,
    "fetch_model": 1,
    "answers": 1,
    "align": 1,
    "refusals": 1,
    "ranks": 2,
    "augment": 1,
    "finetune_arm": 1,
}

# what is edited: (file, before, after, which rules rerun and how many of their jobs)
EDITS = {
    "one figure": ("src/presto_bench/report/figures/pareto.py", "figsize=(7,", "figsize=(6,", {"figure": 1}),
    "the house style": (
        "src/presto_bench/report/figures/style.py",
        '"font.size": 9',
        '"font.size": 10',
        {"figure": FIGURES, "page": 1},
    ),
    "a caption": ("workflow/report/scores.rst", "\n", " \n", {}),
    "a judge's setting": (
        TINY,
        "kind: standin, default: true",
        "kind: standin, fluency: false, default: true",
        {"prefill_alone": 1, "judge_agreement": 1} | GRADED,
    ),
    "an attack's k": (TINY, "k: [20], max_steps: 24", "k: [10], max_steps: 24", ATTACKED),
    "an attack's length": (TINY, "max_steps: 24", "max_steps: 25", ATTACKED),
    "an arm's weight": (TINY, "presto: {weight: 1.0}", "presto: {weight: 2.0}", ONE_ARM),
    "a new arm": (TINY, "attacks:\n", ARM, ONE_ARM),
    "a new seed": (TINY, "seeds: [0]", "seeds: [0, 1]", ONE_SEED),
    "a new model": (TINY, "arms:\n", MODEL, NEW_MODEL | ATTACKED),
    "what stands in the top 20": (
        TINY,
        "composition: null",
        "composition: {requests: 2}",
        {
            "composition": 2,
            "tables": 1,
            "fidelity": 1,
            "figure": FIGURES + 1,
            "manifest": 1,
            "front_page": 1,
            "verdicts": 1,
            "page": 1,
        },
    ),
    "a module of one attack": (
        "src/presto_bench/attacks/guided.py",
        "def run(",
        "EDITED = 1\n\n\ndef run(",
        ATTACKED,
    ),
    "a module of another attack": (
        "src/presto_bench/attacks/autorap/search.py",
        "def strict(",
        "EDITED = 1\n\n\ndef strict(",
        {},
    ),
    "a comment in the package": ("src/presto_bench/training/presto.py", "import torch\n", "import torch  # remark\n", {}),
    "a comment in a script": ("workflow/scripts/figure.py", "\njob.run", "\n# remark\njob.run", {"figure": FIGURES, "page": 1}),
    "threads": ("rules/attack.smk", "    threads: shared_by(2)\n", "    threads: 1\n", {}),
    "resources": (TINY, "resources: {mem_mb: 2000}", "resources: {mem_mb: 3000, runtime: 7}", {}),
    "how a cluster asks for GPUs": (TINY, "seeds: [0]", "seeds: [0]\ngpu_form: gres", {}),
    "which models an attack is for": (TINY, "kind: guided, k", "kind: guided, only: [tiny], k", RECORDED),
    "what only estimates read": (TINY, "kind: local, path", "kind: local, billions: 0.001, path", RECORDED),
    "the registry of public data": ("src/presto_bench/data/sources.py", "@dataclass", "EDITED = 1\n\n\n@dataclass", {}),
    "what refuses a config": ("src/presto_bench/config/references.py", "def check(", "EDITED = 1\n\n\ndef check(", {}),
    "how often a training saves and whom it tells": (
        TINY,
        "save_every: 4",
        "save_every: 3\n    report_to: [tensorboard]",
        RECORDED,
    ),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_reruns_exactly(finished, what):
    name, before, after, expected = EDITS[what]
    undo = edit(finished, name, before, after)
    try:
        assert finished.would_run() == expected
    finally:
        undo()


def test_nothing_is_stale_in_a_finished_run(finished):
    assert finished.would_run() == {}


@pytest.mark.parametrize(
    "name",
    [
        "tests/config/tiny.yaml",
        "src/presto_bench/policies/data/dishes.csv",
        "src/presto_bench/training/trainer.py",
        "requirements.lock",
    ],
)
def test_a_touch_reruns_nothing(finished, name):
    path = finished.path / name
    before = path.stat()
    os.utime(path)
    try:
        assert finished.would_run() == {}
    finally:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_moved_project_has_nothing_to_do(finished, tmp_path):
    assert moved(finished, tmp_path / "elsewhere").would_run() == {}


def test_how_a_training_computes_does_not_change_what_it_is_taught(finished):
    undo = edit(finished, TINY, "save_every: 4", "save_every: 4\n    gradient_norms_every: 2")
    try:
        found = finished.would_run()
        assert found["finetune_arm"] == 1
        assert "augment" not in found
    finally:
        undo()


@contextmanager
def two_models(finished):
    """A finished run of two models."""
    path = finished.path / TINY
    original = path.read_text()

    def change(raw):
        raw["experiment"] = "ordered"
        raw["models"].insert(0, raw["models"][0] | {"name": "zzz"})

    try:
        finished.config(change)
        finished.run()
        yield
    finally:
        path.write_text(original)
        shutil.rmtree(finished.path / "results/ordered", ignore_errors=True)


@pytest.mark.slow
def test_reordered_models_rerun_nothing(finished):
    with two_models(finished):
        assert finished.would_run() == {}
        finished.config(lambda raw: raw["models"].reverse())
        assert finished.would_run() == {}
