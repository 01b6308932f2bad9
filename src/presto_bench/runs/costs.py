"""What judges that are paid by the token will cost, and have cost.

Before a run the gradings are counted from the config and priced at their longest, each asked as often as it may be; afterwards the ledger
beside the replies knows every token that was paid for. Where a request sets no limit to its reply the estimate is no bound, and says so.
"""

from pathlib import Path

import pandas as pd

from presto_bench.config.experiment import Config, is_for, is_graded
from presto_bench.config.judges import Rubric
from presto_bench.config.tasks import RefusalRate, TaskConfig
from presto_bench.data import source_files
from presto_bench.data.sources import SOURCES
from presto_bench.judges.replies import ReplyStore
from presto_bench.policies import by_name

REPLY = 200  # tokens of a reply that gives reasons, where the request sets no limit
TEMPLATE = 600  # tokens of a rubric's prompts, about
PROMPT = 40  # tokens of a request
MT_BENCH_TURNS = 2
PREFILL = 40  # tokens of a prefill, which is graded with the response
COLUMNS = [
    "judge",
    "gradings",
    "prompt_tokens",
    "completion_tokens",
    "dollars",
    "bound",
    "calls_so_far",
    "dollars_so_far",
    "cap",
]


def estimate(config: Config, requests: int) -> pd.DataFrame:
    """One row a judge that is paid by the token: at most so many gradings, tokens and US dollars; and what was spent so far.

    requests: held-out requests under attack. Equal responses are graded once, so that fewer may be paid for.
    """
    store = ReplyStore(config.reply_store)
    judges = [judge for judge in config.judges if isinstance(judge, Rubric)]
    asked = [(judge, *_completions(config, judge, requests)) for judge in judges]
    asked += [(judge, *_answers(config, task)) for task in config.tasks if (judge := task.judge())]
    return pd.DataFrame([_row(store, *one) for one in asked], columns=COLUMNS)


def _completions(config: Config, judge: Rubric, requests: int) -> tuple[int, int]:
    """Gradings of the attacks' completions, and the tokens that they read."""
    gradings = tokens = 0
    for attack in [attack for attack in config.attacks if is_graded(judge, attack.name)]:
        asked = [model.name for model in config.models if is_for(attack, model.name)]
        untouched = len(asked) if attack.kind == "direct" and config.policy != "harm" else 0
        runs = sum(model in asked for model, _, _ in config.runs()) + untouched
        count = runs * attack.asked_of(requests) * len(attack.variants()) * getattr(attack, "samples", 1)
        longest = attack.longest
        gradings, tokens = gradings + count, tokens + count * (longest + TEMPLATE + PROMPT + PREFILL)
    return gradings, tokens


def _answers(config: Config, task: TaskConfig) -> tuple[int, int]:
    """Gradings of a task's answers, and the tokens that they read: MT-Bench has two turns a question, and the second is read with the first."""
    runs = sum(is_for(task, model) for model, _, _ in config.runs())
    turns = 1 if isinstance(task, RefusalRate) else MT_BENCH_TURNS
    questions = getattr(task, "questions", None) or _rows(config, task)
    gradings = runs * turns * questions
    return gradings, gradings * (turns * getattr(task, "max_new_tokens", REPLY) + TEMPLATE)


def _rows(config: Config, task: TaskConfig) -> int:
    """Questions of the task's source, or the held-out benign requests."""
    if task.sources:
        return SOURCES[task.sources[0]].rows or 0
    return config.harm.held_out if config.policy == "harm" else _in_lists(config, "benign")


def _row(store: ReplyStore, judge: Rubric, gradings: int, tokens: int) -> dict[str, object]:
    limit = judge.request.get("max_completion_tokens") or judge.request.get("max_tokens")
    tokens, replies = tokens * judge.attempts, gradings * judge.attempts * int(limit or REPLY)
    calls, *spent = store.spent(judge.name)
    return {
        "judge": judge.name,
        "gradings": gradings,
        "prompt_tokens": tokens,
        "completion_tokens": replies,
        "dollars": _dollars(judge, tokens, replies),
        "bound": bool(limit),
        "calls_so_far": calls,
        "dollars_so_far": _dollars(judge, *spent),
        "cap": judge.max_cost,
    }


def _dollars(judge: Rubric, prompt_tokens: int, completion_tokens: int) -> float | None:
    return judge.price.of(prompt_tokens, completion_tokens) if judge.price else None


def held_out(config: Config) -> tuple[int, str]:
    """Held-out requests under attack, and how that is known: from finished stages, or counted in the policy's lists."""
    folder = Path("results") / config.experiment / "data"
    counts = []
    for path in sorted(folder.glob("*/answers.parquet")):
        prompts = pd.read_parquet(folder / "prompts.parquet")
        answers = pd.read_parquet(path).merge(prompts, on="prompt_id")
        counts.append(int((answers["kept"] & (answers["role"] == "harmful") & (answers["split"] == "test")).sum()))
    if counts:
        return max(counts), "held-out requests that the untouched model answers"
    if config.policy == "harm":
        rows = SOURCES[config.harm.test].rows or _in_file(config)
        return min(config.harm.requests or rows, rows), f"requests of {config.harm.test}"
    return _in_lists(config, "harmful"), "all held-out requests of the policy"


def _in_file(config: Config) -> int:
    """Requests in a file of the user's own; 0 for one that is not on this machine."""
    named = config.source_overrides.get(config.harm.test, "")
    return len(source_files.read(config.harm.test, named)) if Path(named).is_file() else 0


def _in_lists(config: Config, role: str) -> int:
    """Held-out requests of a stand-in policy."""
    prompts = by_name.standin(config.policy).prompts(config.standin)
    return int(((prompts["role"] == role) & (prompts["split"] == "test")).sum())


def show(config: Config) -> str:
    """The table for a terminal."""
    requests, how = held_out(config)
    table = estimate(config, requests)
    if table.empty:
        return "No judge of this config is paid by the token."
    text = table.to_markdown(index=False, floatfmt=".2f", missingval="-")
    return f"For {requests} {how}, at most where `bound` is True (a reply has a limit), else about:\n\n{text}\n\nReplies and the ledger: {config.reply_store}"
