"""tables/corrected: means of the judge that hand labels are for, with its mean error on them taken off."""

import pandas as pd

from presto_bench import tables
from presto_bench.analysis import agreement, scores, stats
from presto_bench.stages.job import Job

KEYS = ["model", "arm", "attack", "variant"]


def make(job: Job) -> None:
    completions, grades = (
        pd.concat([tables.read(path, name) for path in job.paths(name)], ignore_index=True)
        for name in ("completions", "grades")
    )
    graded = scores.best_of(scores.graded_completions(completions, grades), job.spec["best_of"])
    labelled = tables.read_csv(job.path("label_grades"))
    judge, hand = labelled["score_judge"].to_numpy(float), labelled["score_hand"].to_numpy(float)
    rows = []
    for key, group in graded.groupby(KEYS, sort=False):
        found = agreement.corrected_mean(stats.grid(group), judge, hand, job.spec["bootstrap"])
        row = {"judged": group["score"].mean(), "corrected": found.value, "low": found.low, "high": found.high}
        rows.append(dict(zip(KEYS, key, strict=True)) | row)
    table = pd.DataFrame(rows, columns=[*KEYS, "judged", "corrected", "low", "high"])
    tables.write_three(job.path("corrected").with_suffix(""), table)
