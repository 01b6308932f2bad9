"""candidates/<attack>/<model>/<arm>/seed<n>.parquet: what AutoRAP's helper says to each token of an arm's composition."""

import numpy as np
import pandas as pd

from presto_bench import tables
from presto_bench.attacks.autorap import helper
from presto_bench.attacks.autorap.helper import shown_to_helper
from presto_bench.lm import chat, folders, models
from presto_bench.policies import known
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    frame = tables.read(job.path("composition"), "composition")
    frame = frame.assign(said=_said(job, frame), attack=job.wildcards["attack"])
    tables.write(job.path("candidates"), "candidates", frame[list(tables.TABLES["candidates"].columns)])


def _said(job: Job, frame: pd.DataFrame) -> np.ndarray:
    """The helper's probability that the response is harmful with each candidate behind it."""
    tokenizer = folders.load_tokenizer(job.path("model"))
    prompts, harmful = known.recipes(job.path("prompts"), job.path("answers"), tokenizer, "dev")
    end_ids = chat.end_of_turn(tokenizer)
    model, reads = models.load_helper(job.path("helper"), job.model.decode_dtype)
    asked_as = folders.helper_format(job.path("helper"), job.chat_format)
    asked = {p: chat.encode_prompt(reads, text, asked_as) for p, text in prompts.items()}
    rows = []
    for row in frame.itertuples():
        ended, ids = row.token_id in end_ids, list(harmful[row.prompt_id][: row.depth])
        text = chat.decode(tokenizer, ids if ended else [*ids, row.token_id])
        rows.append(shown_to_helper(reads, asked[row.prompt_id], text, ended))
    return helper.probabilities(model, rows, chat.filler(reads))
