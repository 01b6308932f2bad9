"""tables/helper_refusals.csv: what each target says behind candidate first tokens of refusals, for one training request; redacted unless asked for."""

import pandas as pd

from presto_bench import tables
from presto_bench.stages.job import Job

SHOWN = 10  # continuations a target, as in the paper's Tables 3 and 4


def make(job: Job) -> None:
    found = pd.concat([tables.read(path, "helper_refusals") for path in job.paths("refusals")], ignore_index=True)
    rows = [_of_one_request(group) for _, group in found.groupby(["model", "arm", "seed"], sort=False)]
    shown = pd.concat(rows, ignore_index=True)
    if not job.spec["show"]:
        shown["text"] = shown["text"].map(lambda text: f"[{len(text)} characters, redacted]")
    columns = ["model", "arm", "seed", "refuses", "tokens", "text"]
    tables.write_three(job.path("table").with_suffix(""), shown[columns])


def _of_one_request(found: pd.DataFrame) -> pd.DataFrame:
    """The first training request's continuations, of most widespread first tokens first."""
    taught = found[found["split"] == "train"]
    return taught[taught["prompt_id"] == taught["prompt_id"].min()].head(SHOWN)
