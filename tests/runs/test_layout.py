"""A results folder of another layout is refused before any job, with the way out."""

import json

import pytest

from presto_bench.errors import UserError
from presto_bench.runs import layout


def test_what_is_not_begun_is_fine_and_gets_the_version_once(tmp_path):
    layout.require_current(tmp_path / "results/new")
    layout.stamp(tmp_path)
    layout.stamp(tmp_path)
    assert json.loads((tmp_path / "layout.json").read_text()) == {"version": layout.VERSION}
    layout.require_current(tmp_path)


@pytest.mark.parametrize(("version", "maker"), [(0, "an older"), (layout.VERSION + 1, "a newer")])
def test_another_layout_is_refused_with_the_way_out(tmp_path, version, maker):
    (tmp_path / "data").mkdir()
    if version:
        (tmp_path / "layout.json").write_text(json.dumps({"version": version}))
    with pytest.raises(UserError, match=f"made by {maker} version") as error:
        layout.require_current(tmp_path)
    assert f"mv {tmp_path} " in error.value.mend


def test_the_workflow_refuses_it_before_any_job(finished):
    stamp = finished.path / "results/tiny/layout.json"
    text = stamp.read_text()
    stamp.unlink()
    try:
        said = finished.run("--dry-run", ok=False)
    finally:
        stamp.write_text(text)
    assert "results/tiny: was made by an older version of presto-bench" in said and "To mend it" in said
