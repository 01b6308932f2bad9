"""What holds of the types beyond `make lint`: the folders that read like the paper have no type error at all."""

import json

CLEAN = ("training", "measures", "attacks", "analysis", "config")


def test_the_baseline_of_old_type_errors_has_none_in_the_algorithms_and_the_config(root):
    files = json.loads((root / ".basedpyright/baseline.json").read_text())["files"]
    assert not [name for name in files for folder in CLEAN if f"presto_bench/{folder}/" in name]
