"""How a job's model writes data: as its family answers."""

from presto_bench.config.answers import AnswersConfig
from presto_bench.lm.writing import Writer
from presto_bench.stages.job import Job


def own_writer(job: Job, config: AnswersConfig, purpose: str) -> Writer:
    """A job's model, answering as its family does."""
    return Writer(
        job.path("model"),
        job.model.decode_dtype,
        job.chat_format,
        job.model.sampling,
        config.max_new_tokens,
        config.batch_size,
        purpose,
    )
