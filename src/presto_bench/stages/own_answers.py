"""data/<model>/own.parquet: what a model answers to the benign training requests before it is taught anything.

The lessons of policy `facts` are mixed with them, so that the model goes on answering everything else as it did.
"""

from presto_bench import tables
from presto_bench.config.answers import AnswersConfig
from presto_bench.lm.writing import write
from presto_bench.stages.job import Job
from presto_bench.stages.writers import own_writer


def make(job: Job) -> None:
    config = AnswersConfig.model_validate(job.spec["answers"])
    prompts = tables.read(job.path("prompts"), "prompts")
    asked = prompts[(prompts["role"] == "benign") & (prompts["split"] == "train")]
    writer = own_writer(job, config, "own_answers")
    texts = dict(zip(asked["prompt_id"], asked["prompt"], strict=True))
    written = write(writer, texts, job.work_folder())
    whole = (written["finish"] == "eos") | (not config.ended)
    tables.write(job.path("own"), "written", written.loc[whole, list(tables.TABLES["written"].columns)])
