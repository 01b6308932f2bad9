"""Forget what could not be graded: unreadable replies are set aside, and the grade files with gaps are deleted."""

import logging
import re

from presto_bench import tables
from presto_bench.judges import likelihood
from presto_bench.judges.replies import ReplyStore
from presto_bench.stages.job import Job

log = logging.getLogger("presto_bench")

KEY = re.compile(r"reply ([0-9a-f]{64})\b")  # as judges/rubric.py ends its reasons


def make(job: Job) -> None:
    store, asked, files = ReplyStore(job.settings["reply_store"]), 0, 0
    for path in sorted((job.root / "grades").rglob("*.parquet")):
        grades = tables.read(path, "grades")
        failed = grades[(grades["status"] != "ok") & (grades["reason"] != likelihood.EMPTY)]  # that one stays empty
        if failed.empty:
            continue
        for reason in failed["reason"]:
            for key in KEY.findall(reason):
                store.set_aside(key)
        path.unlink()
        asked, files = asked + len(failed), files + 1
    if files:  # else nothing would ask for the grades: Snakemake makes what is missing only where something needs it
        (job.root / "summary.json").unlink(missing_ok=True)
    log.info("%d missing grades in %d files are forgotten; run snakemake again to ask for them", asked, files)
