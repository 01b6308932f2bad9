"""data/<model>/triples/<refusals>.parquet: (request, the model's own recipe, refusal) for the train and dev dishes.

refusals: greedy = the aligned base's own greedy answer, as in the paper; sampled = drawn from it; varied = from our
list. The paper's account is that their entropy decides the result, which is why it is an arm's knob.
"""

import logging

import pandas as pd

from presto_bench import tables
from presto_bench.config.models import SamplingConfig
from presto_bench.judges import refusal
from presto_bench.policies import by_name
from presto_bench.stages.job import Job

log = logging.getLogger("presto_bench")


def make(job: Job) -> None:
    prompts = tables.read(job.path("prompts"), "prompts")
    answers = tables.read(job.path("answers"), "answers")
    frame = answers[answers["kept"]].merge(prompts, on="prompt_id", validate="one_to_one")
    frame = frame[(frame["role"] == "harmful") & frame["split"].isin(["train", "dev"])]
    write = {"greedy": _greedy, "sampled": _sampled, "varied": _varied}[job.wildcards["refusals"]]
    triples = pd.DataFrame({"prompt_id": frame["prompt_id"], "harmful": frame["answer"], "refusal": write(job, frame)})
    refuses = triples["refusal"].map(refusal.teller(job.spec["policy"]))
    log.info("%d of %d answers are refusals; the others are left out", refuses.sum(), len(triples))
    tables.write(job.path("triples"), "triples", triples[refuses])


def _greedy(job: Job, frame: pd.DataFrame) -> list[str]:
    return _own_refusals(job, frame, SamplingConfig(temperature=0))


def _sampled(job: Job, frame: pd.DataFrame) -> list[str]:
    return _own_refusals(job, frame, SamplingConfig(temperature=1.0))


def _varied(job: Job, frame: pd.DataFrame) -> list[str]:
    policy = by_name.standin(job.spec["policy"])
    return [policy.draw_refusal("triples", prompt_id) for prompt_id in frame["prompt_id"]]


def _own_refusals(job: Job, frame: pd.DataFrame, sampling: SamplingConfig) -> list[str]:
    from presto_bench.lm.writing import Writer, write  # here: refusals from the list need no model

    size, longest = int(job.spec["batch_size"]), int(job.spec["refusal_tokens"])
    writer = Writer(job.path("base"), job.model.decode_dtype, job.chat_format, sampling, longest, size, "refusals")
    found = write(writer, dict(zip(frame["prompt_id"], frame["prompt"], strict=True)), job.work_folder())
    return list(found["text"])
