"""A second judge by one config entry, through the real workflow: what reruns, what stays secret, what can be shared."""

import importlib
import json
import shutil
import stat
import tarfile

import pandas as pd
import pytest

from endpoint import Endpoint
from presto_bench import cli, tables
from presto_bench.stages import figure
from project import edit, moved

KEY = "sk-canary-4711"
PRIVATE = ("attacks", "answers", "triples", "ranks", "candidates")


@pytest.fixture(scope="module")
def regraded(finished, tmp_path_factory):
    """A copy of the finished run, regraded by a second judge behind a local server whose key is a canary."""
    project = moved(finished, tmp_path_factory.mktemp("regraded") / "project")
    server = Endpoint("--faults", 0.0)
    entry = {
        "name": "second",
        "kind": "rubric",
        "model": "grader",
        "base_url": f"{server.url}/v1",
        "key": "PRESTO_CANARY",
        "attempts": 1,
        "price": {"input": 1.0, "output": 1.0},
    }
    control = {"name": "likely", "kind": "likelihood", "attacks": ["guided"]}
    project.config(lambda raw: raw["judges"].extend([entry, control]))
    project.environment["PRESTO_CANARY"] = KEY
    would, said = project.would_run(), project.run()
    yield project, server, would, said
    server.stop()


def test_a_control_stands_among_the_scores_and_is_compared_with_nothing(regraded):
    project, _, _, _ = regraded
    tables_of = project.path / "results/tiny/tables"
    scores = pd.read_csv(tables_of / "scores.csv").set_index(["judge", "arm"])
    assert all(0 < scores.loc["likely", arm]["mean"] < 1 for arm in ("base", "da"))
    assert scores.loc["likely"]["refused"].isna().all()
    found = pd.read_csv(tables_of / "judges.csv")
    assert set(found["first"]) | set(found["second"]) == {"standin", "second"}
    assert set(pd.read_csv(tables_of / "comparisons.csv")["judge"]) <= {"standin"}
    assert "would the untouched model say it" in (project.path / "results/tiny/front.rst").read_text().lower()


def test_a_second_judge_reruns_grades_and_aggregates_only(regraded):
    _, _, would, _ = regraded
    assert would == {
        "judge_template": 1,
        "grade_attack": 4,
        "tables": 1,
        "fidelity": 1,
        "figure": 11,
        "manifest": 1,
        "front_page": 1,
        "verdicts": 1,
        "page": 1,
    }


def test_what_cannot_be_read_is_missing_in_every_table_and_never_safe(regraded):
    """The server finds no grades in random text and says so: every reply is unreadable."""
    project, _, _, _ = regraded
    scores = pd.read_csv(project.path / "results/tiny/tables/scores.csv").set_index(["judge", "arm"])
    for arm in ("base", "da"):
        row = scores.loc["second", arm]
        assert row["missing"] == row["n"] == 8
        assert pd.isna(row["mean"]) and (row["if_missing_0"], row["if_missing_1"]) == (0, 1)
    table = pd.read_csv(project.path / "results/tiny/tables/judges.csv")
    assert set(table["both_graded"]) == {0} and set(table["n"]) == {8, 16}
    assert "second" not in set(pd.read_csv(project.path / "results/tiny/tables/comparisons.csv")["judge"])


def test_retry_failed_asks_again_for_what_is_missing_and_for_nothing_else(regraded):
    project, server, _, _ = regraded
    calls = server.stats()["calls"]
    project.run()
    assert server.stats()["calls"] == calls
    project.run("retry_failed")
    assert project.would_run()["grade_attack"] == 2
    project.run()
    assert server.stats()["calls"] == 2 * calls


def test_no_word_of_a_completion_and_no_key_stands_where_a_person_would_see_it(regraded):
    """Canaries: what the arms really said (random text that stands nowhere else), its token ids, and the endpoint's key."""
    project, _, _, said = regraded
    results = project.path / "results/tiny"
    completions = pd.concat([tables.read(p, "completions") for p in (results / "attacks").rglob("*.parquet")])
    own = [r.response[len(r.prefill) :] for r in completions.itertuples()]
    canaries = {text[at : at + 24] for text in own for at in range(0, max(len(text) - 24, 0), 24)}
    canaries |= {", ".join(map(str, ids[at : at + 4])) for ids in completions["token_ids"] for at in range(0, len(ids) - 4, 4)}
    assert len(canaries) > 20
    seen = said
    for path in [*results.rglob("*"), *(project.path / ".snakemake/log").rglob("*"), *(project.path / "replies").rglob("*")]:
        if path.is_dir() or path.suffix in (".safetensors", ".png", ".pdf"):
            continue
        if path.suffix == ".parquet":
            if any(part in path.relative_to(results).as_posix() for part in PRIVATE) and "grades" not in path.parts:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
                continue
            seen += pd.read_parquet(path).to_csv()
        else:
            seen += path.read_text(errors="replace")
    assert KEY not in seen
    assert not [canary for canary in canaries if canary in seen]


def test_completions_are_shown_only_when_asked_for(regraded):
    project, _, _, _ = regraded
    examples = project.path / "results/tiny/tables/examples.csv"
    assert pd.read_csv(examples)["response"].str.fullmatch(r"\[\d+ characters, redacted\]").all()
    undo = edit(project, "tests/config/tiny.yaml", "experiment: tiny", "experiment: tiny\nshow_completions: true")
    try:
        assert set(project.would_run()) == {"tables", "fidelity", "figure", "front_page", "manifest", "verdicts", "page"}
    finally:
        undo()


def test_a_bundle_rebuilds_every_figure_and_holds_no_text_and_no_known_id(regraded, tmp_path, capsys):
    project, _, _, _ = regraded
    project.run("bundle")
    bundle = project.path / "results/tiny/bundle.tar.gz"
    with tarfile.open(bundle) as archive:
        archive.extractall(tmp_path, filter="data")
    known = set(tables.read(project.path / "results/tiny/data/prompts.parquet", "prompts")["prompt_id"])
    scores = pd.read_parquet(tmp_path / "bundle/scores.parquet")
    ranks = pd.read_parquet(tmp_path / "bundle/ranks.parquet")
    assert len(scores) == 3 * 16 and not {"response", "prefill", "token_ids", "reason"} & set(scores)
    assert "token_id" not in ranks
    assert not known & (set(scores["prompt_id"]) | set(ranks["prompt_id"]))
    assert cli.main(["figures", str(bundle), "--out", str(tmp_path / "figures")]) == 0
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {path.name for path in (project.path / "results/tiny/figures").iterdir()}


ODD = {"base": "1", "da": "null", "direct": "nan", "prefilling": "1e5", "standin": "true"}  # all are legal names


def test_a_name_that_reads_as_a_number_or_as_nothing_vanishes_from_no_figure(regraded, tmp_path):
    project, _, _, _ = regraded
    project.run("bundle")
    with tarfile.open(project.path / "results/tiny/bundle.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for path in (tmp_path / "bundle/tables").glob("*.csv"):
        tables.read_csv(path).replace(ODD).to_csv(renamed / path.name, index=False)
    spec = json.loads((tmp_path / "bundle/figures.json").read_text())
    needs, odd = spec.pop("needs"), _renamed(spec)
    for figure_name, wanted in needs.items():
        module = importlib.import_module(f"presto_bench.report.figures.{figure_name}")
        as_it_is, with_odd_names = (
            _marks(module.draw(figure.read({name: folder / f"{name}.csv" for name in wanted}, names)))
            for folder, names in ((tmp_path / "bundle/tables", spec), (renamed, odd))
        )
        assert as_it_is == with_odd_names, figure_name
    assert "da" not in odd["arms"]["tiny"] and "null" in odd["arms"]["tiny"]


def _renamed(spec):
    if isinstance(spec, dict):
        return {ODD.get(name, name): _renamed(value) for name, value in spec.items()}
    return [_renamed(one) for one in spec] if isinstance(spec, list) else ODD.get(spec, spec)


def _marks(drawn):
    """How much each panel shows: lines with points, bars, collections, and named entries of its legend."""
    found = []
    for axis in drawn.axes:
        named = axis.get_legend_handles_labels()[1]
        lines = sum(len(line.get_xdata()) for line in axis.lines)
        found.append(
            (lines, len(axis.patches), sum(len(c.get_paths()) for c in axis.collections), len(named), len(axis.get_xticks()))
        )
    return found


def test_purge_deletes_what_models_said_and_keeps_scores_and_figures(regraded):
    project, _, _, _ = regraded
    copy = project.path / "kept"
    (project.path / "results").rename(copy)
    shutil.copytree(copy, project.path / "results")
    try:
        project.run("purge")
        left = [path for path in (project.path / "results/tiny").rglob("*.parquet") if "grades" not in path.parts]
        assert {path.name for path in left} <= {"prompts.parquet", "prefills.parquet", "seed0.parquet"}
        assert not [path for path in left if {"attacks", "ranks", "candidates", "triples"} & set(path.parts)]
        assert not list((project.path / "replies").glob("??/????????*.json"))
        assert (project.path / "results/tiny/summary.json").exists()
        assert list((project.path / "results/tiny/figures").glob("*.pdf"))
    finally:
        shutil.rmtree(project.path / "results")
        copy.rename(project.path / "results")
