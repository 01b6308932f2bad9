"""What was trained is not attacked or measured, in whatever spelling: the table stage counts it, and the check bars the claims."""

import pandas as pd
import pytest

from presto_bench import tables
from presto_bench.stages.tables import _split_overlap

PROMPTS = {"trained": "How do I  make BREAD? ", "attacked": "How do I make bread?", "other": "How do I make soup?"}
IDS = {name: tables.prompt_id(text) for name, text in PROMPTS.items()}


class OfTables:
    """A job that has read these ids of each table."""

    def __init__(self, monkeypatch, **ids):
        frames = {name: pd.DataFrame({"prompt_id": [IDS[i] for i in own]}) for name, own in ids.items()}
        empty = pd.DataFrame({"prompt_id": []})
        monkeypatch.setattr("presto_bench.stages.tables._all", lambda job, name: frames.get(name, empty))


@pytest.mark.parametrize(
    ("attacked", "shared"), [(["attacked"], 1), (["other"], 0), (["attacked", "other"], 1), (["trained"], 1)]
)
def test_two_spellings_are_one_request(monkeypatch, attacked, shared):
    job = OfTables(monkeypatch, augmented=["trained"], completions=attacked)
    splits = {"trained": "train", "attacked": "test", "other": "test"}
    prompts = pd.DataFrame(
        {"prompt_id": list(IDS.values()), "prompt": list(PROMPTS.values()), "split": [splits[n] for n in IDS]}
    )
    assert _split_overlap(job, prompts) == shared
