"""What a workflow script hands to a stage, and what surrounds every stage: threads, log, errors, manifest, work folder.

A stage sees only `spec`, the part of the config that its rule declares in `params.spec`: nothing else of the config
can reach it, so nothing else can make its results stale. This module knows the shape of the `snakemake` object that
scripts have, and never imports snakemake.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from presto_bench import progress, registry, tables
from presto_bench.config.models import ChatFormat, ModelConfig
from presto_bench.config.parts import canonical, over
from presto_bench.errors import UserError
from presto_bench.fingerprint import content_hash
from presto_bench.lm import precision
from presto_bench.runs import manifest

log = logging.getLogger("presto_bench")


@dataclass(frozen=True)
class Job:
    """One job: its rule's name, wildcards, spec (parsed JSON), code hash, files and results folder.

    settings: the whole config as given, for what no hash knows; whatever shapes a result comes from spec.
    """

    rule: str
    wildcards: Mapping[str, str]
    spec: Mapping[str, Any]
    code: str
    input: Mapping[str, Any]
    output: Mapping[str, Any]
    root: Path
    threads: int = 1
    run_only: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def item(self, section: str) -> Any:
        """The configured item of a list section that this job is about, e.g. item("models")."""
        entry = self.spec[section]
        return registry.config_class(section, entry["kind"], section).model_validate(entry)

    def whole_item(self, section: str) -> Any:
        """The item with its settings that no hash includes: they affect how a result is obtained, not its value."""
        entry = self.spec[section]
        unhashed = next((other for other in self.settings.get(section, []) if other["name"] == entry["name"]), {})
        return registry.config_class(section, entry["kind"], section).model_validate(over(unhashed, entry))

    def path(self, name: str) -> Path:
        found = self.input[name] if name in self.input else self.output[name]
        return Path(found)

    def paths(self, name: str) -> list[Path]:
        """Input files of a name, none if there is no such input; Snakemake hands out a single one as text."""
        found = self.input.get(name, [])
        return [Path(p) for p in ([found] if isinstance(found, str) else found)]

    def all(self, name: str) -> pd.DataFrame:
        """The tables of the input `name`, which is their kind too, together."""
        return tables.read_all(self.paths(name), name)

    @cached_property
    def model(self) -> ModelConfig:
        return self.item("models")

    @property
    def chat_format(self) -> ChatFormat:
        return self.model.chat.format

    @property
    def seed(self) -> int:
        return int(self.wildcards.get("seed", 0))

    @cached_property
    def key(self) -> str:
        """Work key: sha256 of rule, wildcards, spec, code and every input's bytes."""
        parts = [self.rule, canonical(dict(self.wildcards)), canonical(dict(self.spec)), self.code]
        parts += [f"{name}={content_hash(path)}" for name, path in sorted(self.input.items())]
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()

    @property
    def work(self) -> Path:
        return self.root / "work" / self.rule / self.key[:24]

    def work_folder(self) -> Path:
        """A folder that outlives a kill; `run` removes it when everything is written. Another key never sees it."""
        self.work.mkdir(parents=True, exist_ok=True)
        if any(self.work.iterdir()):
            log.info("going on from %s", self.work)
        return self.work

    @property
    def notes(self) -> list[str]:
        """What this job's manifest is to say beside the usual, from before a kill too."""
        file = self.work / "notes.txt"
        return file.read_text().splitlines() if "key" in self.__dict__ and file.exists() else []

    def note(self, what: str) -> None:
        log.warning("%s", what)
        with open(self.work_folder() / "notes.txt", "a") as handle:
            handle.write(what + "\n")


def run(stage: Callable[[Job], None], snakemake: Any) -> None:
    """Run `stage` for a workflow script; a UserError ends the job with its message and no traceback."""
    job = _unpack(snakemake)
    _set_up_log(snakemake.log)
    _set_threads(job.threads)
    precision.forget()
    told = progress.file_of(Path(snakemake.log[0])) if snakemake.log else None
    progress.to(told)
    started = time.time()
    log.info("began %.1f s after its process", started - psutil.Process().create_time())
    try:
        stage(job)
        if "manifest" in job.output:
            manifest.write(job.path("manifest"), _record(job, started))
    except UserError as error:
        log.error("%s", error)
        sys.exit(1)
    except Exception as error:
        if not _is_full_disk(error):
            log.exception("this was not foreseen")  # into the log file too, where `presto-bench status` looks
            sys.exit(1)
        log.error("%s\n  To mend it: free space, then run snakemake again: finished work and checkpoints are kept", error)
        sys.exit(1)
    if told:
        told.unlink(missing_ok=True)
    if "key" in job.__dict__:  # the stage asked for its work folder
        shutil.rmtree(job.work, ignore_errors=True)


def _record(job: Job, started: float) -> dict[str, Any]:
    """What a job says of itself. start_seconds: from the start of its process to the stage; seconds: the stage alone."""
    return {
        "rule": job.rule,
        "wildcards": dict(job.wildcards),
        "spec": job.spec,
        "code": job.code,
        "start_seconds": round(started - psutil.Process().create_time(), 2),
        "seconds": round(time.time() - started, 2),
        "notes": job.notes,
        "precision": precision.used(),
    }


def _is_full_disk(error: BaseException) -> bool:
    """Libraries wrap the system's error in their own (safetensors, torch); its text stays."""
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error)


def _unpack(snakemake: Any) -> Job:
    return Job(
        rule=snakemake.rule,
        wildcards=dict(snakemake.wildcards),
        spec=json.loads(snakemake.params.spec),
        code=snakemake.params.code,
        input=dict(snakemake.input),
        output=dict(snakemake.output),
        root=Path("results") / snakemake.config["experiment"],
        threads=snakemake.threads,
        run_only=_run_only(snakemake.resources),
        settings={"reply_store": "replies", **snakemake.config},
    )


def _run_only(resources: Any) -> dict[str, Any]:
    """Settings of a training that change no result: they travel as resources, so that they make nothing stale."""
    found = {"save_every": resources.get("save_every")}
    if resources.get("report_to") is not None:
        found["report_to"] = [name for name in resources.get("report_to").split(",") if name]
    return {name: value for name, value in found.items() if value is not None}


def _set_up_log(files: Any) -> None:
    """To the rule's log file and the terminal."""
    handlers: list[logging.Handler] = []
    if files:
        handlers.append(logging.FileHandler(files[0], mode="w"))
    if files and os.environ.get(progress.QUIET):
        _write_all_to(Path(files[0]))
    else:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers, force=True)
    for name in ("fontTools", "httpx", "httpx2"):  # they tell of every glyph, and of every call
        logging.getLogger(name).setLevel(logging.WARNING)


def _write_all_to(log_file: Path) -> None:
    """What libraries print goes to the log file too: the terminal belongs to the board (runs/live.py)."""
    with open(log_file, "a") as handle:
        for stream in (1, 2):
            os.dup2(handle.fileno(), stream)


def _set_threads(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
