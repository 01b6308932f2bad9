"""data/<model>/ of policy `harm`: answers and triples out of sources, or written by models.

The texts that ranks are measured on: for a forbidden request the published prefill (its first tokens stand, the others are the text), for a
held-out benign one the model's own answer.
"""

from collections.abc import Mapping

import pandas as pd

from presto_bench import tables
from presto_bench.config.models import SamplingConfig
from presto_bench.config.parts import OWN
from presto_bench.errors import UserError
from presto_bench.judges import refusal
from presto_bench.judges import triples as triples_of
from presto_bench.lm import folders
from presto_bench.lm.writing import Writer, write
from presto_bench.stages.harm_prompts import source
from presto_bench.stages.job import Job

COLUMNS = list(tables.TABLES["answers"].columns)


def answers(job: Job) -> None:
    """data/<model>/answers.parquet: what stands for each request's answer; the model writes what no source gives."""
    frame = tables.read(job.path("prompts"), "prompts")
    texts = dict(zip(frame["prompt_id"], frame["prompt"], strict=True))
    known = _known(job, frame)
    asked = frame[(frame["role"] == "benign") & ((frame["split"] == "test") | frame["prompt_id"].isin(_own_anchors(job)))]
    missing = {p: texts[p] for p in asked["prompt_id"] if p not in known}
    own = _own(job, missing, _writing(job), "answers").rename(columns={"text": "answer"})
    given = pd.DataFrame([(p, text, "eos") for p, text in known.items()], columns=["prompt_id", "answer", "finish"])
    found = pd.concat([given, own], ignore_index=True).assign(score=0.0)
    # A benign answer that came to no end would teach to stop in the middle; a blank one teaches nothing.
    found["kept"] = ((found["finish"] == "eos") | (not job.spec["ended"])) & found["answer"].str.strip().ne("")
    tables.write(job.path("answers"), "answers", found[COLUMNS])


def _own_anchors(job: Job) -> set[str]:
    """The benign training requests that this model is to answer itself; none where its answers are published."""
    if job.spec["anchors"] != OWN:
        return set()
    return set(source(job, "anchors")["prompt"].head(job.spec["limit"]).map(tables.prompt_id))


def _writing(job: Job) -> SamplingConfig:
    """How the model decodes while it writes data: the reference has a repetition penalty there that it has not in its attacks."""
    return job.model.sampling.model_copy(update={"repetition_penalty": job.spec["repetition_penalty"]})


def _known(job: Job, frame: pd.DataFrame) -> dict[str, str]:
    """prompt_id -> text that a source has: the helper's unsafe answers, harmful answers or else the prefills, and the anchors where they are published."""
    pairs, prefilled = tables.read(job.path("pairs"), "written"), tables.read(job.path("prefills"), "prefills")
    known = dict(zip(pairs["prompt_id"], pairs["text"], strict=True)) | dict(
        zip(prefilled["prompt_id"], prefilled["prefill"], strict=True)
    )
    if "given" in job.input:
        known |= _answers_of(job, "given")
    if job.spec["anchors"] not in (None, OWN):
        known |= _answers_of(job, "anchors", job.spec["limit"])
    return {p: known[p] for p in frame["prompt_id"] if p in known}


def _answers_of(job: Job, role: str, limit: int | None = None) -> dict[str, str]:
    """prompt_id -> answer in a source; of its first rows alone with a limit."""
    rows = source(job, role)
    if "answer" not in rows:
        raise UserError(job.path(role), "no column `answer`", "add one, or name another source (harm.answers)")
    pairs = list(zip(map(tables.prompt_id, rows["prompt"]), rows["answer"], strict=True))
    return dict(pairs[:limit])


def triples(job: Job) -> None:
    """data/<model>/triples/given.parquet: published, or harmful answers of one model with refusals of this one; and their checks."""
    frame = _harmful(job)
    asked = tables.read(job.path("prompts"), "prompts")
    training = asked[(asked["role"] == "harmful") & (asked["split"] == "train")]
    frame = frame.drop_duplicates("prompt_id")
    frame = frame[frame["prompt_id"].isin(training["prompt_id"])]  # what is attacked never trains
    written = "model" in job.input
    if written:
        said = _own(job, _texts(job, frame["prompt_id"]), _writing(job), "given_refusals")
        frame = frame.assign(refusal=_whole(said))
    tables.write_text(job.path("checks"), triples_of.checks(frame).to_csv(index=False))
    if written:  # published ones are taken as they are
        frame = triples_of.usable(frame, f"models.{job.model.name}.data")
    frame = frame.head(job.spec["limit"])
    tables.write(job.path("triples"), "triples", frame[list(tables.TABLES["triples"].columns)])


def _harmful(job: Job) -> pd.DataFrame:
    """prompt_id, harmful, and refusal where the file has one."""
    if "harmful" in job.input:
        return tables.read(job.path("harmful"), "written").rename(columns={"text": "harmful"})
    published = source(job, "source")
    return published.assign(prompt_id=published["prompt"].map(tables.prompt_id))


def own_refusals(job: Job) -> None:
    """data/<model>/triples/{greedy,sampled}.parquet: the same triples with what the model itself says to the request."""
    given = tables.read(job.path("given"), "triples")
    sampling = SamplingConfig(temperature=0) if job.wildcards["refusals"] == "greedy" else _writing(job)
    said = _own(job, _texts(job, given["prompt_id"]), sampling, "refusals")
    frame = given.assign(refusal=_whole(said))
    frame = frame[frame["refusal"].map(refusal.declines)]
    if frame.empty:
        raise UserError(
            job.path("given"), f"{job.model.name} refuses none of these requests", "use `refusals: given`, or another model"
        )
    tables.write(job.path("triples"), "triples", frame)


def harmful_answers(job: Job) -> None:
    """data/harmful_answers.parquet: what the model that the user named says to the safety prompts."""
    given = source(job, "safety")
    texts = {tables.prompt_id(text): text for text in given["prompt"]}
    found = _own(job, texts, job.model.sampling, "harmful_answers")
    tables.write(job.path("harmful"), "written", found[list(tables.TABLES["written"].columns)])


def _whole(said: pd.DataFrame) -> list[str]:
    """Texts that came to an end; another is blank, for it would teach to stop in the middle of a sentence."""
    return list(said["text"].where(said["finish"] == "eos", ""))


def _texts(job: Job, ids: pd.Series) -> dict[str, str]:
    frame = tables.read(job.path("prompts"), "prompts").set_index("prompt_id")["prompt"]
    return {p: frame[p] for p in ids if p in frame.index}


def _own(job: Job, texts: Mapping[str, str], sampling: SamplingConfig, purpose: str) -> pd.DataFrame:
    writer = Writer(
        job.path("model"),
        job.model.decode_dtype,
        folders.chat_format(job.path("model"), job.chat_format),
        sampling,
        int(job.spec["max_new_tokens"]),
        int(job.spec["batch_size"]),
        purpose,
        job.spec["engine"],
    )
    return write(writer, texts, job.work_folder())
