"""shipped/<model>.csv and .json: what `standin.answers.source: shipped` reads, made anew by a job's model (`make answers`)."""

from collections.abc import Mapping

import pandas as pd

from presto_bench import tables
from presto_bench.config.answers import AnswersConfig
from presto_bench.lm import chat, models
from presto_bench.lm.forward import mean_log_likelihoods
from presto_bench.policies import by_name, shipped
from presto_bench.runs import manifest
from presto_bench.stages.answers import own
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    config = AnswersConfig.model_validate(job.spec["answers"])
    frame = by_name.standin(job.spec["policy"]).answered(tables.read(job.path("prompts"), "prompts"))
    written = own(job, config, frame).merge(frame[["prompt_id", "prompt"]], on="prompt_id")
    written["log_likelihood"] = written["prompt_id"].map(log_likelihoods(job, written))
    answers = {
        r.prompt_id: shipped.Answer(r.prompt_id, r.text, r.finish, tuple(map(int, r.token_ids)), r.log_likelihood)
        for r in written.itertuples()
    }
    provenance = {
        "model": {key: value for key, value in job.spec["models"].items() if key in ("requirement", "member")},
        "settings": shipped.settings(job.model, config),
        "command": "make answers",
        "code": job.code,
        **manifest.environment(),
    }
    shipped.write(job.path("shipped"), answers, provenance)


def log_likelihoods(job: Job, written: pd.DataFrame) -> Mapping[str, float]:
    """prompt_id -> mean log-likelihood (nats a token) of the answer's ids; 0 for an empty answer."""
    model, tokenizer = models.load(job.path("model"), job.model.decode_dtype)
    rows = [chat.encode(tokenizer, r.prompt, job.chat_format, "", [int(i) for i in r.token_ids]) for r in written.itertuples()]
    return dict(zip(written["prompt_id"], mean_log_likelihoods(model, rows, chat.filler(tokenizer)), strict=True))
