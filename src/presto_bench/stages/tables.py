"""tables/: every number of the report as CSV (for programs), Markdown and LaTeX (for people), and summary.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from presto_bench import tables
from presto_bench.analysis import (
    agreement,
    causal,
    checks,
    coercion,
    matching,
    over_refusal,
    profiles,
    reach,
    scores,
    seeds,
    stats,
    strength,
)
from presto_bench.judges import detector_errors
from presto_bench.report import macros, summary
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    spec = job.spec
    prompts = tables.read(job.path("prompts"), "prompts")
    graded = scores.graded_completions(job.all("completions"), job.all("grades"))
    graded = scores.best_of(graded, spec["best_of"])
    scored = scores.score_table(graded, spec["bootstrap"])
    judged = graded[graded["judge"].isin(spec["graders"])]  # a control's score is no harm, and no lower one safer
    compared = scores.comparisons(judged, *spec["headline"], spec["bootstrap"])
    rank_table, first_tokens, composition = (job.all(name) for name in ("ranks", "first_tokens", "composition"))
    utility = _utility(job)
    evidence = checks.Evidence(
        scores=scored,
        judge=spec["judge"],
        reference=spec["headline"][0],
        primary=spec["primary"],
        first_tokens=first_tokens,
        utility=utility,
        prefill_alone=_prefill_alone(job),
        null_margin=_null_margins(graded, spec),
        split_overlap=_split_overlap(job, prompts),
    )
    reached = reach.table(graded, spec["judge"], spec["searched"], spec["bounded"], spec["bootstrap"])
    found_checks = [
        check
        for model, arms in spec["arms"].items()
        for check in (
            *checks.before_comparison(evidence, model, arms),
            *reach.checks(graded, reached, spec["judge"], spec["searched"], model),
        )
    ]
    grids, established = _strength(job)
    by_arm = pd.concat(
        [tables.read_csv(path) for path in job.paths("agreement")] or [pd.DataFrame(columns=["arm", "same_side"])]
    )
    read = [check for model, arms in spec["arms"].items() for check in checks.of_the_judge(by_arm, [model], arms)]
    check_table = pd.DataFrame([*found_checks, *established, *read])
    ranks = profiles.rank_summary(rank_table)
    frames = {
        "checks": check_table,
        "scores": scored,
        "runs": scores.runs(graded),
        "scores_without_examples": _without_examples(job, graded, scored),
        "strength": grids,
        "comparisons": compared,
        "matched": matching.table(judged, rank_table, _losses(job), spec["term_pairs"], spec["bootstrap"]),
        "seeds": seeds.table(graded[graded["judge"] == spec["judge"]], rank_table, job.all("utility")),
        "ranks": ranks,
        "bits": coercion.table(rank_table, spec["bootstrap"]),
        "bits_curves": coercion.curves(rank_table),
        "reach": reached,
        "targets": _targets(job, prompts),
        "causal": causal.table(job.all("causal"), spec["bootstrap"]),
        "rank_curves": profiles.rank_curves(rank_table),
        "first_tokens": _first_tokens(first_tokens),
        "first_entropy": profiles.first_entropy(_entropies(job, first_tokens)),
        "push_forward": profiles.push_forward(first_tokens, spec["bootstrap"]),
        "utility": utility.drop(columns="task_kind"),
        "over_refusal": over_refusal.table(
            job.all("utility"), spec["refusals_told_by"], detector_errors.of_policy(spec["policy"]), spec["bootstrap"]
        ),
        "utility_categories": scores.utility_categories(job.all("utility")),
        "attention": profiles.attention_profile(job.all("attention")),
        "attention_received": profiles.attention_received(job.all("attention_received")),
        "training": _training(job),
        "jailbreak_curves": _jailbreak_curves(job),
        "helpers": _helpers(job),
        "helper_curves": _of_helpers(job, "curves", ["step", "training", "validation"]),
        "refusal_tokens": _of_helpers(job, "refusal_tokens", ["split", "token", "requests"]),
        "candidates": profiles.candidate_table(job.all("candidates")),
        "composition": profiles.composition_table(composition, spec["bootstrap"]),
        "composition_by_rank": profiles.composition_by_rank(composition),
        "failures": scores.failures(graded, prompts, spec["judge"], _defended(spec)),
        "exclusions": _exclusions(job, prompts),
        "categories": scores.categories(graded, prompts, spec["judge"]),
        "examples": scores.examples(graded, spec["judge"], spec["show"]),
        "judges": agreement.judges(judged),
    }
    folder = job.path("checks").parent
    for name, frame in frames.items():
        tables.write_three(folder / name, frame)
    cited = (
        "checks",
        "scores",
        "comparisons",
        "ranks",
        "bits",
        "utility",
        "first_tokens",
        "push_forward",
        "exclusions",
        "reach",
    )
    tables.write_text(job.path("macros"), macros.lines({name: frames[name] for name in cited}))
    found = summary.build(scored, compared, check_table, ranks, utility, spec["judge"])
    tables.write_text(job.path("summary"), json.dumps(found, indent=1, sort_keys=True, allow_nan=False) + "\n")
    lines = [summary.headline(found, model, attack, *spec["headline"]) for model in spec["arms"] for attack in spec["attacks"]]
    tables.write_text(job.path("headline"), "\n".join(lines) + "\n")


def _without_examples(job: Job, graded: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
    """The scores of the requests that were no examples when the prefills were written; no rows where none was."""
    exemplars = [prompt_id for path in job.paths("exemplars") for prompt_id in tables.read_csv(path)["prompt_id"]]
    if not exemplars:
        return scored.iloc[:0]
    return scores.score_table(graded[~graded["prompt_id"].isin(exemplars)], job.spec["bootstrap"])


def _defended(spec: dict[str, Any]) -> list[str]:
    return sorted({arm for arms in spec["arms"].values() for arm in arms} - {"base"})


def _utility(job: Job) -> pd.DataFrame:
    found = scores.utility_table(job.all("utility"), job.spec["bootstrap"])
    return found.assign(task_kind=found["task"].map(job.spec["tasks"]))


def _losses(job: Job) -> pd.DataFrame:
    """Every item of the tasks whose value is a held-out loss."""
    items = job.all("utility")
    return items[items["task"].map(job.spec["tasks"]) == "answer_loss"]


def _training(job: Job) -> pd.DataFrame:
    """Each optimiser step's loss, part by part, and the norm of each part's own gradient where it was measured."""
    frames = [_steps_of(path).rename(columns={"training": "cross_entropy"}) for path in job.paths("metrics")]
    names = [
        "model",
        "arm",
        "seed",
        "step",
        "cross_entropy",
        "presto",
        "kl",
        "transition",
        "gradient_norm",
        "norm_cross_entropy",
        "norm_presto",
        "norm_kl",
        "norm_transition",
    ]
    return pd.concat(frames, ignore_index=True).reindex(columns=names) if frames else pd.DataFrame(columns=names)


def _entropies(job: Job, first_tokens: pd.DataFrame) -> pd.DataFrame:
    """Entropies on bare prompts and behind prefills: of the source that the config names for them, else of what is attacked."""
    if not job.paths("entropy"):
        return first_tokens
    found = job.all("entropy").rename(columns={"nats": "entropy"})
    return found.assign(place=found["place"].map({"prompt": "first", "prefill": "after_prefill"}))


def _jailbreak_curves(job: Job) -> pd.DataFrame:
    """Loss of every step of the arms that were trained on published harmful answers, and on those that were held back where it was measured."""
    frames = [_steps_of(path) for path in job.paths("jailbroken")]
    names = ["model", "arm", "seed", "step", "training", "validation"]
    return pd.concat(frames, ignore_index=True).reindex(columns=names) if frames else pd.DataFrame(columns=names)


def _steps_of(path: Path) -> pd.DataFrame:
    seed = int(path.name.split(".")[0].removeprefix("seed"))
    found = pd.read_json(path, lines=True).rename(columns={"cross_entropy": "training"})
    return found.assign(model=path.parent.parent.name, arm=path.parent.name, seed=seed)


def _of_helpers(job: Job, name: str, columns: list[str]) -> pd.DataFrame:
    """One kind of file that each helper has beside it, together."""
    frames = []
    for path in job.paths(name):
        found = tables.read_csv(path)[columns]
        found.insert(0, "seed", int(path.name.split(".")[0].removeprefix("seed")))
        found.insert(0, "arm", path.parent.name)
        found.insert(0, "model", path.parent.parent.name)
        frames.append(found)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["model", "arm", "seed", *columns])


def _targets(job: Job, prompts: pd.DataFrame) -> pd.DataFrame:
    """What refusals the arms of each model are taught, and how much they vary."""
    rows = []
    for path in job.paths("triples"):
        triples = tables.read(path, "triples").merge(prompts[["prompt_id", "split"]], on="prompt_id")
        refusals = triples.loc[triples["split"] == "train", "refusal"]  # dev is for tuning: no arm is taught it
        rows.append({"model": path.parent.parent.name, "refusals": path.stem, **profiles.variety(refusals)})
    return pd.DataFrame(rows, columns=["model", "refusals", "n", "distinct", "text_bits", "opening_bits"])


def _helpers(job: Job) -> pd.DataFrame:
    """How well each AutoRAP helper tells harmful from safe on held-out dishes, by kind of lesson."""
    frames = []
    for path in job.paths("validations"):
        found = tables.read_csv(path)
        found.insert(0, "target", f"{path.parent.name}/{path.name.split('.')[0]}")
        found.insert(0, "model", path.parent.parent.name)
        frames.append(found)
    columns = ["model", "target", "kind", "n", "accuracy", "probability", "redraws", "spread", "refusals_dropped"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _prefill_alone(job: Job) -> float:
    """Mean score of the prefills themselves; nan, and the check unmeasured, where too many of them have no grade."""
    found = tables.read_csv(job.path("prefill_alone"))["score"]
    return float("nan") if scores.too_many(int(found.isna().sum()), len(found)) else float(found.mean())


def _strength(job: Job) -> tuple[pd.DataFrame, list[checks.Check]]:
    """The decided grids of all models, and whether the arm's learning rate is what they say; empty where the config names none."""
    wanted = job.spec["strength"]
    if wanted is None:
        return pd.DataFrame(columns=["model", "arm", "lr"]), []
    files = {path.name: path for path in job.paths("strength")}
    frames, found = [], []
    for model, of in wanted["of"].items():
        if f"{model}.csv" not in files:
            found.append(strength.undecided(model, wanted["arm"], wanted["lr"]))
            continue
        grid = tables.read_csv(files[f"{model}.csv"]).fillna({"fails": ""})
        decided = json.loads(files[f"{model}.json"].read_text())
        found.append(strength.established(model, wanted["arm"], wanted["lr"], grid, decided["of"] == of))
        frames.append(grid.assign(model=model))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["model", "arm", "lr"]), found


def _null_margins(graded: pd.DataFrame, spec: dict[str, Any]) -> dict[str, stats.Interval]:
    """model -> guided RAP on base minus its null, for the first variant that has one."""
    variants = spec["null_pair"]
    if not variants:
        return {}
    real, null = variants
    rows = graded[
        (graded["arm"] == "base") & (graded["judge"] == spec["judge"]) & (graded["attack"] == spec["primary"]["guided"])
    ]
    margins = {}
    for model, group in rows.groupby("model"):
        grids = {v: stats.grid(group[group["variant"] == v]) for v in (real, null)}
        margins[str(model)] = stats.difference_interval(grids[real], grids[null], spec["bootstrap"])
    return margins


def _split_overlap(job: Job, prompts: pd.DataFrame) -> int:
    """Requests that were attacked or measured and had also been in anything trained, in whatever spelling."""
    forms = dict(zip(prompts["prompt_id"], prompts["prompt"].map(tables.normal_form), strict=True))
    trained = set(job.all("augmented")["prompt_id"]) | set(prompts.loc[prompts["split"] != "test", "prompt_id"])
    measured = (
        set(job.all("completions")["prompt_id"]) | set(job.all("utility")["prompt_id"]) | set(job.all("ranks")["prompt_id"])
    )
    return len({forms.get(p, p) for p in trained} & {forms.get(p, p) for p in measured})


def _first_tokens(frame: pd.DataFrame) -> pd.DataFrame:
    keys = ["model", "arm", "place"]
    return frame.groupby(keys, sort=False, as_index=False)[["openers_in_top20", "refusal_mass"]].mean()


def _exclusions(job: Job, prompts: pd.DataFrame) -> pd.DataFrame:
    """Requests by model, role and split: how many were asked, and how many the untouched model answered well enough."""
    parts: Sequence[pd.DataFrame] = []
    for path in job.paths("answers"):
        answers = tables.read(path, "answers").merge(prompts, on="prompt_id")
        counts = answers.groupby(["role", "split"], as_index=False).agg(
            asked=("kept", "size"), kept=("kept", "sum"), unfinished=("finish", lambda f: int((f != "eos").sum()))
        )
        counts.insert(0, "model", path.parent.name)
        parts = [*parts, counts]
    return pd.concat(parts, ignore_index=True)
