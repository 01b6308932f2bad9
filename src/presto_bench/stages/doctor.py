"""models/<model>/doctor.json: what is unusual about the untouched model, and what follows for each stage."""

import json
from dataclasses import asdict

from presto_bench import tables
from presto_bench.runs import doctor
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    found = doctor.of_folder(job.path("model"), job.model.chat.format)
    for finding in found:
        job.note(str(finding))
    tables.write_text(job.path("findings"), json.dumps([asdict(finding) for finding in found], indent=1) + "\n")
