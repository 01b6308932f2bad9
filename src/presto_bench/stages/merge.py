"""attacks/<attack>/<model>/<arm>/seed<n>.parquet of an attack that was spread over jobs."""

import json

import pandas as pd

from presto_bench import tables
from presto_bench.stages.job import Job
from presto_bench.stages.requests import batches_of, requests_of, together


def make(job: Job) -> None:
    """The completions of one arm from those of its shards, in the order of an attack in one piece."""
    attack = job.item("attacks")
    batches = batches_of(requests_of(job), attack.batch_size)
    for path in job.paths("manifests"):
        for note in json.loads(path.read_text()).get("notes", []):
            job.note(f"{path.name.split('.')[0]}: {note}")
    place = {request.prompt_id: number for number, batch in enumerate(batches) for request in batch}
    found = together(job.paths("shards"))
    order = pd.DataFrame({"variant": found["variant"].map(attack.variants().index), "batch": found["prompt_id"].map(place)})
    order = order.sort_values(["variant", "batch"], kind="stable").index  # a batch's rows come from one shard, in their order
    searches = [kept for path in job.paths("shards") if (kept := path.with_suffix(".searches.jsonl")).is_file()]
    if searches:
        whole = "".join(path.read_text(encoding="utf-8") for path in searches)
        tables.write_text(job.path("completions").with_suffix(".searches.jsonl"), whole, private=True)
    tables.write(job.path("completions"), "completions", found.loc[order].reset_index(drop=True))
