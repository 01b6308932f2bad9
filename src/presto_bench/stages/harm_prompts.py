"""data/ of policy `harm`: requests, prefills, and the pairs that teach AutoRAP's helper, out of sources."""

import pandas as pd

from presto_bench import tables
from presto_bench.config.harm import HarmConfig
from presto_bench.data import source_files
from presto_bench.policies import harm
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    """data/prompts.parquet, data/prefills.parquet, and data/pairs.parquet with the unsafe answers that teach AutoRAP's helper."""
    config = HarmConfig.model_validate(job.spec["harm"])
    parts = {role: source(job, role) for role in ("test", "benign_prompts")}
    given = _prefills(job)
    if "written_prefills" in job.input:  # a request for which none could be written is not attacked
        parts["test"] = parts["test"][parts["test"]["prompt"].isin(given["prompt"])]
    parts["anchor_prompts"] = _union(job, "anchors", config.anchors)
    parts[harm.SAFETY] = _union(job, "safety", None)
    pairs = _pairs(job, config)
    frame, respelled = harm.prompts(config, parts, pairs)
    if respelled:
        job.note(f"{respelled} training requests left out: they are attacked or measured ones in another spelling")
    tables.write(job.path("prompts"), "prompts", frame)
    tables.write(job.path("prefills"), "prefills", harm.prefills(frame, given, config.prefills))
    exemplars = _exemplars(job, frame)
    tables.write_text(job.path("exemplars"), exemplars.to_frame().to_csv(index=False))
    if len(exemplars):
        job.note(f"{len(exemplars)} attacked requests served as examples when the prefills were written")
    written = pairs.assign(prompt_id=pairs["prompt"].map(tables.prompt_id), finish="eos")
    written = written[written["prompt_id"].isin(frame.loc[frame["category"] == harm.HELPER, "prompt_id"])]
    tables.write(job.path("pairs"), "written", written[["prompt_id", "text", "finish"]])


def _prefills(job: Job) -> pd.DataFrame:
    """prompt, prefill: published, or written by a model of the user's."""
    if "written_prefills" in job.input:
        return tables.read_csv(job.path("written_prefills"))
    return source(job, "published_prefills")


def _exemplars(job: Job, prompts: pd.DataFrame) -> pd.Series:
    """Ids of the attacked requests from which the prefills of the others were written, in whatever spelling."""
    attacked = prompts[(prompts["role"] == "harmful") & (prompts["split"] == "test")]
    if "examples" not in job.input:
        return attacked["prompt_id"].iloc[:0]
    known = set(source(job, "examples")["prompt"].map(tables.normal_form))
    return attacked.loc[attacked["prompt"].map(tables.normal_form).isin(known), "prompt_id"]


def _union(job: Job, name: str, limit: int | None) -> pd.DataFrame:
    """The requests of all sources of a kind together, each once; at most so many of each source, so that no model takes another's place."""
    paths = job.paths(name)
    if not paths:  # nothing trains
        return pd.DataFrame(columns=["prompt"])
    frames = [source_files.read(path.stem, path)[["prompt"]].head(limit) for path in paths]
    return pd.concat(frames, ignore_index=True).drop_duplicates().reset_index(drop=True)


def _pairs(job: Job, config: HarmConfig) -> pd.DataFrame:
    if "helper" not in job.input:
        return pd.DataFrame(columns=["prompt", "text", "split"])
    return harm.helper_pairs(source(job, "helper"), config.helper_train, config.helper_dev)


def source(job: Job, role: str) -> pd.DataFrame:
    path = job.path(role)
    return source_files.read(path.stem, path)
