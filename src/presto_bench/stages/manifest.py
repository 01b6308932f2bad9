"""manifest.json: what the whole run was: its config, commit, versions, models, and where its time and memory went."""

import hashlib
import json
from pathlib import Path

from presto_bench import tables
from presto_bench.lm import precision
from presto_bench.runs import manifest
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    paths = [Path(path) for path in job.input["manifests"]]
    jobs = {path.relative_to(job.root).as_posix(): json.loads(path.read_text()) for path in paths}
    record = {
        "config": job.spec["config"],
        **manifest.environment(),
        "precision": precision.jobs_by_precision(found["precision"] for found in jobs.values()),
        "models": {m["name"]: _model(job.root, m) for m in job.spec["config"]["models"]},
        "summary_sha256": hashlib.sha256(job.path("summary").read_bytes()).hexdigest(),
        "jobs": {
            name: {k: found[k] for k in ("rule", "code", "start_seconds", "seconds", "peak_memory_mb", "git")}
            | {"precision": precision.computed_in(found["precision"])}
            for name, found in jobs.items()
        },
        "judges": _judges(job.root),
    }
    tables.write_text(job.path("run"), json.dumps(record, indent=1, sort_keys=True) + "\n")


def _model(root: Path, entry: dict) -> dict:
    """The model's source, the hash of its chat template, and what is unusual about it."""
    folder = root / "models" / entry["name"] / "untouched" / "seed0"
    template = folder / "chat_template.jinja"
    found = {k: entry[k] for k in ("requirement", "member", "id", "revision", "path") if k in entry}
    if template.exists():
        found["chat_template_sha256"] = hashlib.sha256(template.read_bytes()).hexdigest()
    findings = root / "models" / entry["name"] / "doctor.json"
    return found | {"unusual": [f"{one['what']}: {one['follows']}" for one in json.loads(findings.read_text())]}


def _judges(root: Path) -> dict[str, list[str]]:
    """Versions of each judge that graded anything."""
    found: dict[str, set[str]] = {}
    for path in sorted((root / "grades").glob("*/**/*.parquet")):
        frame = tables.read(path, "grades")
        found.setdefault(path.relative_to(root / "grades").parts[0], set()).update(frame["judge_version"])
    return {judge: sorted(versions) for judge, versions in found.items()}
