"""models/<model>/<arm>/seed<n> of an arm that other arms' weights and a defence at decoding time make."""

from presto_bench.config.arms import DecodingArm, SafeDecodingArm
from presto_bench.lm import chat, folders
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    arm: DecodingArm | SafeDecodingArm = job.item("arms")
    if isinstance(arm, SafeDecodingArm):
        folders.defend_with_expert(job.path("defended"), job.path("expert"), job.path("model"), arm.alpha, arm.sample_space)
        return
    tokenizer = folders.load_tokenizer(job.path("defended"))
    chat.reopened(tokenizer, job.chat_format)  # a template that knows no such thing is refused here, not in every attack
    folders.defend(job.path("defended"), job.path("model"), arm.defence)
