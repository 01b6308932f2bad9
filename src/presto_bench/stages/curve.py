"""tables/curve and tables/curve_gaps: depth against damage by family of arms, and how far families lie apart at equal damage."""

import pandas as pd

from presto_bench import tables
from presto_bench.analysis import curve, scores
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    spec = job.spec
    families = {family["name"]: family["arms"] for family in spec["families"]}
    graded = scores.graded_completions(job.all("completions"), job.all("grades"))
    attack, variant = spec["attack"]
    graded = graded[(graded["attack"] == attack) & (graded["variant"] == variant)]
    frames = {
        "graded": graded,
        "ranks": job.all("ranks"),
        "losses": job.all("utility"),
        "updates": job.all("update_norm"),
    }
    points, gaps = [], []
    for model in spec["models"]:
        measured = curve.Measured(**{name: frame[frame["model"] == model] for name, frame in frames.items()})
        found = curve.draw(measured, [arm for arms in families.values() for arm in arms], spec["bootstrap"])
        points.append(curve.points(model, found, families))
        gaps.append(curve.gaps(model, found, families))
    tables.write_three(job.path("curve").with_suffix(""), pd.concat(points, ignore_index=True))
    tables.write_three(job.path("gaps").with_suffix(""), pd.concat(gaps, ignore_index=True))
