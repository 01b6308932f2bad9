"""bundle.tar.gz: what a reviewer needs to rebuild every figure, and no word that a model said. And purge, which deletes those words.

Requests are told apart by ids that are salted anew for each bundle: they cannot be looked up in a list of known prompts.
"""

import hashlib
import json
import logging
import re
import secrets
import shutil
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from presto_bench import tables
from presto_bench.data.sources import SOURCES
from presto_bench.judges.replies import ReplyStore
from presto_bench.stages.job import Job
from presto_bench.stages.retry_failed import KEY

log = logging.getLogger("presto_bench")

SAID = ("prefill", "response", "token_ids")  # columns of completions that hold or spell text
UNSHARED = {"examples", "failures", "refusal_tokens", "top_lists"}  # a response; ids of requests; what models put first
WRITTEN = {
    name
    for name, source in SOURCES.items()
    if {"harmful", "refusal", "output", "response", "response_0", "prefill"} & set(source.columns)
}
NAMING = {"acknowledge", "source_overrides", "harmful_model", "path", "sessions", "override", "reply_store", "base_url"}
SMALLEST = 5  # requests of a category whose mean may be shared: the stand-in's are single dishes, which a mean would give away
README = """Tables, scores and ranks of a presto-bench run, without any text that a model was given or gave.

presto-bench figures bundle.tar.gz --out figures     draws every figure from tables/
scores.parquet    one row a completion and judge        ranks.parquet    one row a token of the teacher-forced texts
Ids of requests are salted: the same within this bundle, and in no other.
"""


def make(job: Job) -> None:
    salt = secrets.token_hex(16)

    def salted(ids: pd.Series) -> pd.Series:
        return ids.map({i: hashlib.sha256((salt + i).encode()).hexdigest()[:16] for i in ids.unique()})

    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        (folder / "tables").mkdir(parents=True)
        unshared = UNSHARED | _telling_categories(job.root / "tables/categories.csv")
        needs = {figure: wanted for figure, wanted in job.spec["needs"].items() if not unshared & set(wanted)}
        for path in sorted((job.root / "tables").glob("*.csv")):
            if path.stem not in unshared:
                shutil.copy(path, folder / "tables")
        shutil.copy(job.root / "summary.json", folder)
        (folder / "manifest.json").write_text(
            json.dumps(_unnamed(json.loads((job.root / "manifest.json").read_text())), indent=1)
        )
        (folder / "figures.json").write_text(json.dumps({**job.spec, "needs": needs}, indent=1, sort_keys=True))
        (folder / "README.txt").write_text(README)
        scores = (
            job.all("completions").drop(columns=list(SAID)).merge(job.all("grades").drop(columns="reason"), on="completion_id")
        )
        scores.assign(prompt_id=salted(scores["prompt_id"])).drop(columns="completion_id").to_parquet(folder / "scores.parquet")
        ranks = job.all("ranks").drop(columns="token_id")
        ranks.assign(prompt_id=salted(ranks["prompt_id"])).to_parquet(folder / "ranks.parquet")

        def write(temporary: Path) -> None:
            with tarfile.open(temporary, "w:gz") as archive:
                archive.add(folder, "bundle", filter=_nobodys)

        tables.write_atomically(job.path("bundle"), write)


def _unnamed(value: object) -> object:
    """A manifest without what tells of a person or a place: their words, and paths of this machine."""
    if isinstance(value, dict):
        return {key: _unnamed(item) for key, item in value.items() if key not in NAMING}
    return [_unnamed(item) for item in value] if isinstance(value, list) else value


def _telling_categories(path: Path) -> set[str]:
    counts = tables.read_csv(path)["completions"]
    return {path.stem} if len(counts) and counts.min() < SMALLEST else set()


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the name of whoever made the bundle."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def purge(job: Job) -> None:
    """Delete what models said: completions, answers, triples, ranks, compositions and candidates, work folders, and the replies to them."""
    store, replies = ReplyStore(job.settings["reply_store"]), 0
    for path in (job.root / "grades").rglob("*.parquet"):
        for reason in tables.read(path, "grades")["reason"]:
            for key in re.findall(KEY, reason):
                replies += store.forget(key)
    files = [
        *(job.root / "attacks").rglob("*.parquet"),
        *(job.root / "ranks").rglob("*.parquet"),
        *(job.root / "composition").rglob("*.parquet"),
        *(job.root / "candidates").rglob("*.parquet"),
        *(job.root / "data").glob("*/**/*.parquet"),
        *[
            job.root / "data" / name
            for name in ("pairs.parquet", "harmful_answers.parquet", "prefills.parquet")
            if (job.root / "data" / name).exists()
        ],
        *(path for path in (job.root / "sources").glob("*") if path.stem in WRITTEN),
        *(job.root / "tables").glob("examples.*"),
        *job.root.glob("report*.html"),  # which may show examples
    ]
    for path in files:
        path.unlink()
    shutil.rmtree(job.root / "work", ignore_errors=True)
    log.info(
        "%d files and %d replies are deleted; tables, figures and scores are kept. A new run makes the rest anew",
        len(files),
        replies,
    )
