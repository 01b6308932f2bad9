"""paper/table_<n>.csv, .md and .tex: one of the paper's tables, made from ours. fidelity.csv has the published values beside them."""

from presto_bench import tables
from presto_bench.report import items
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    item = f"table_{job.wildcards['number']}"
    frames = {name: tables.read_csv(job.path(name)) for name in items.ITEMS[item].needs}
    found = items.table(item, frames, job.spec["kinds"], job.spec["judge"])
    tables.write_three(job.path("table").with_suffix(""), found)
