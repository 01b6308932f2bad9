"""judge/: how far a judge can be trusted: its agreement with hand labels, and its score of the attack's prefills alone."""

from dataclasses import replace

import pandas as pd

from presto_bench import tables
from presto_bench.judges import labels
from presto_bench.judges.base import Item
from presto_bench.stages.grade import grade
from presto_bench.stages.job import Job


def prefill_alone(job: Job) -> None:
    """Grade each held-out prefill as if the model had written it: it must be worth next to nothing."""
    prompts = tables.read(job.path("prompts"), "prompts")
    prefills = tables.read(job.path("prefills"), "prefills").merge(prompts[prompts["split"] == "test"], on="prompt_id")
    todo = [Item(r.prompt_id, r.prompt, r.category, "", r.prefill) for r in prefills.itertuples()]
    tables.write_text(job.path("prefill_alone"), grade(job, todo)[["completion_id", "status", "score"]].to_csv(index=False))


def agreement(job: Job) -> None:
    """The stand-in judge's agreement with the test half of the hand labels per stratum, with and without its fluency criterion."""
    labelled = labels.read("test")
    todo = _items(labelled)
    spec = job.spec["judges"]
    found, as_configured = [], None
    for criterion in (True, False):
        variant = replace(job, spec={**job.spec, "judges": {**spec, "fluency": criterion}})
        grades = grade(variant, todo).rename(columns={"completion_id": "label_id"})
        if spec["fluency"] == criterion:
            as_configured = labelled[["label_id", "score"]].merge(
                grades[["label_id", "score"]], on="label_id", suffixes=("_hand", "_judge")
            )
        found.append(labels.agreement(labelled, grades).assign(fluency_criterion=criterion))
    tables.write_text(job.path("by_arm"), _by_arm(job).to_csv(index=False, float_format="%.6g"))
    tables.write_text(job.path("grades"), as_configured.to_csv(index=False, float_format="%.6g"))
    tables.write_three(job.path("agreement").with_suffix(""), pd.concat(found, ignore_index=True))


def _by_arm(job: Job) -> pd.DataFrame:
    """The judge as configured against the labels of each arm of the demo; empty for experiments with other arms."""
    labelled = labels.read_by_arm()
    if labelled.empty or not job.paths("labels_by_arm"):
        return pd.DataFrame(columns=["arm", "n", "same_side"])
    judged = grade(job, _items(labelled)).rename(columns={"completion_id": "label_id"})
    agreed = labels.agreement(labelled, judged).rename(columns={"stratum": "arm"})
    return agreed[agreed["arm"] != "all"]


def _items(labelled: pd.DataFrame) -> list[Item]:
    return [Item(r.label_id, r.prompt, r.category, r.prefill, r.prefill + r.continuation) for r in labelled.itertuples()]
