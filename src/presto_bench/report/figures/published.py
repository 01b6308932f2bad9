"""Values that others have published, laid over ours and never taken for them: hollow marks, with their source in the legend."""

from dataclasses import dataclass

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

REVIEW = "review of an earlier version of arXiv 2512.05518"


@dataclass(frozen=True)
class Value:
    """what: an attack's or a task's name; model: its hub id; spread: standard deviation, where one was given."""

    what: str
    model: str
    arm: str
    value: float
    source: str
    spread: float | None = None


VALUES = (
    Value("gsm8k", "Qwen/Qwen3-8B", "base", 0.9287, REVIEW),
    Value("gsm8k", "Qwen/Qwen3-8B", "da", 0.9045, REVIEW),
    Value("gsm8k", "Qwen/Qwen3-8B", "da_presto", 0.9030, REVIEW),
    Value("gsm8k", "google/gemma-3-12b-it", "base", 0.9022, REVIEW),
    Value("gsm8k", "google/gemma-3-12b-it", "da", 0.8635, REVIEW),
    Value("gsm8k", "google/gemma-3-12b-it", "da_presto", 0.8567, REVIEW),
    Value("human", "Qwen/Qwen3-8B", "da_presto", 0.348, REVIEW, 0.254),
)


def mark(axis, data: Data, what: str) -> None:
    """Hollow marks beside our own points, for models that are known by their hub id."""
    told, arms = set(), style.every_arm(data)
    for i, model in enumerate(data.models):
        for found in (v for v in VALUES if v.what == what and v.model == data.hub.get(model)):
            place = i + style.shift(data.arms[model], found.arm) + 0.03
            look = {**style.look(arms, found.arm), "markerfacecolor": "none", "linestyle": "none"}
            name = None if found.source in told else f"published: {found.source}"
            axis.errorbar([place], [found.value], yerr=found.spread, label=name, capsize=1, **look)
            told.add(found.source)
