"""data/<model>/answers.parquet: the untouched model's own answers, and which requests the experiment keeps.

A dish that the untouched model itself fails at can leak nothing; it is excluded here, before anything is trained or
attacked, by the judge, and counted in the report.
"""

import logging

import pandas as pd

from presto_bench import tables
from presto_bench.config.answers import AnswersConfig
from presto_bench.judges.base import Item
from presto_bench.judges.facts import FactsJudge
from presto_bench.judges.standin import StandinJudge
from presto_bench.policies import by_name, shipped
from presto_bench.stages.job import Job

log = logging.getLogger("presto_bench")


def make(job: Job) -> None:
    config = AnswersConfig.model_validate(job.spec["answers"])
    policy = job.spec["policy"]
    frame = by_name.standin(policy).answered(tables.read(job.path("prompts"), "prompts"))
    written = _written(job, config, frame)
    frame = frame.merge(written, on="prompt_id").rename(columns={"text": "answer"})
    frame["score"] = _scores(frame, policy)
    frame["kept"] = _kept(frame, config)
    _log_exclusions(frame)
    tables.write(job.path("answers"), "answers", frame[list(tables.TABLES["answers"].columns)])


def _written(job: Job, config: AnswersConfig, frame: pd.DataFrame) -> pd.DataFrame:
    """Answers to all requests: shipped, the model's own, or shipped where there is one."""
    if "shipped" not in job.input:
        return own(job, config, frame)
    path = job.path("shipped")
    answers = shipped.read(path)
    if config.source in ("shipped", "given"):
        shipped.require_all(answers, list(frame["prompt_id"]), path)
    known = [p for p in frame["prompt_id"] if p in answers]
    rows = [(p, answers[p].text, answers[p].finish) for p in known]
    found = pd.DataFrame(rows, columns=["prompt_id", "text", "finish"])
    rest = frame[~frame["prompt_id"].isin(known)]
    return pd.concat([found, own(job, config, rest)[list(found)]]) if len(rest) else found


def own(job: Job, config: AnswersConfig, frame: pd.DataFrame) -> pd.DataFrame:
    """What the job's model answers now."""
    from presto_bench.lm.writing import write  # here: shipped answers need no model
    from presto_bench.stages.writers import own_writer

    texts = dict(zip(frame["prompt_id"], frame["prompt"], strict=True))
    return write(own_writer(job, config, "answers"), texts, job.work_folder())


def _scores(frame: pd.DataFrame, policy: str) -> list[float]:
    """The judge's score of each recipe, or fact. Fluency is left out: the text is the untouched model's own. Benign answers get 0."""
    harmful = frame[frame["role"] == "harmful"]
    items = [Item(r.prompt_id, r.prompt, r.category, "", r.answer) for r in harmful.itertuples()]
    judge = FactsJudge() if policy == "facts" else StandinJudge(None)
    scores = {grade.completion_id: grade.score for grade in judge.grade(items)}
    return [scores.get(prompt_id, 0.0) for prompt_id in frame["prompt_id"]]


def _kept(frame: pd.DataFrame, config: AnswersConfig):
    whole = (frame["finish"] == "eos") | (not config.ended)
    good = (frame["role"] == "benign") | (frame["score"] >= config.min_score)
    return whole & good & frame["answer"].str.strip().ne("")


def _log_exclusions(frame: pd.DataFrame) -> None:
    for (role, split), group in frame.groupby(["role", "split"]):
        log.info("%s %s: %d of %d requests kept", role, split, group["kept"].sum(), len(group))
