"""What was trained is not attacked or measured, in whatever spelling: the table stage counts it, and the check bars the claims."""

import pandas as pd
import pytest

from presto_bench import tables
from presto_bench.stages.tables import _split_overlap

PROMPTS = {"trained": "How do I  make BREAD? ", "attacked": "How do I make bread?", "other": "How do I make soup?"}
IDS = {name: tables.prompt_id(text) for name, text in PROMPTS.items()}


class OfTables:
    """A job that has read these ids of each table."""

    def __init__(self, **ids):
        self.frames = {name: pd.DataFrame({"prompt_id": [IDS[i] for i in own]}) for name, own in ids.items()}

    def all(self, name):
        return self.frames.get(name, pd.DataFrame({"prompt_id": []}))


@pytest.mark.parametrize(
    ("attacked", "shared"), [(["attacked"], 1), (["other"], 0), (["attacked", "other"], 1), (["trained"], 1)]
)
def test_two_spellings_are_one_request(attacked, shared):
    job = OfTables(augmented=["trained"], completions=attacked)
    splits = {"trained": "train", "attacked": "test", "other": "test"}
    prompts = pd.DataFrame(
        {"prompt_id": list(IDS.values()), "prompt": list(PROMPTS.values()), "split": [splits[n] for n in IDS]}
    )
    assert _split_overlap(job, prompts) == shared
