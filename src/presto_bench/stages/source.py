"""sources/<source>.<ending>: one file of a public data set, checked, with what was found of it beside it."""

import json

from presto_bench import tables
from presto_bench.data import source_files
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    found = source_files.fetch(job.spec["name"], job.spec["override"], job.path("file"))
    tables.write_text(job.path("found"), json.dumps(found, indent=1, sort_keys=True) + "\n")
