"""The paper's tables and figures by their own names (`snakemake table_7`, `figure_9`): what each is made from, and the tables themselves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

Frames = Mapping[str, pd.DataFrame]
RAP_KINDS = ("prefilling", "human", "autorap")
JAILBROKEN = "finetuned with examples"  # a fine-tuned arm that was trained on published harmful answers
SHOWN = 5  # candidate refusal tokens at each end, as in Table 2


@dataclass(frozen=True)
class Item:
    """what: what it shows. needs: the tables that it is made from. figure: the figure that it is, for figures.

    kinds: of attacks, tasks or arms (`of`), one of which an experiment must have.
    """

    what: str
    needs: tuple[str, ...] = ()
    figure: str | None = None
    kinds: tuple[str, ...] = ()
    of: str = "attack"


_REFUSALS = ("helper_refusals",)
_SCORES = ("scores", "scores_without_examples")

ITEMS: dict[str, Item] = {
    "table_1": Item("prefilling, human RAP and AutoRAP by arm", (*_SCORES, "runs"), kinds=RAP_KINDS),
    "table_2": Item("candidate refusal tokens of each target", ("refusal_tokens",), kinds=("autorap",)),
    "table_3": Item("refusals that candidates lead to, of the paper's first three targets", _REFUSALS, kinds=("autorap",)),
    "table_4": Item("refusals that candidates lead to, of the other three", _REFUSALS, kinds=("autorap",)),
    "table_5": Item("accuracy of AutoRAP's helpers on held-out requests", ("helpers",), kinds=("autorap",)),
    "table_6": Item("MT-Bench and GSM8K by arm", ("utility",), kinds=("mt_bench", "lm_eval"), of="task"),
    "table_7": Item("AutoRAP by k", ("scores",), kinds=("autorap",)),
    "table_8": Item("GCG by arm", ("scores",), kinds=("gcg",)),
    "figure_1": Item("top-10 lists behind a prefill, step by step", ("top_lists",), "top_lists"),
    "figure_2": Item("top-10 lists, and what is pushed forward", ("top_lists",), "top_lists"),
    "figure_3": Item("RAP by model, published values beside ours", _SCORES, "autorap", ("autorap", "human")),
    "figure_6": Item("loss of AutoRAP's helpers", ("helper_curves",), "helper_curves", ("autorap",)),
    "figure_7": Item("entropy of the next token", ("first_entropy",), "first_entropy"),
    "figure_8": Item(
        "loss of the jailbroken models' training", ("jailbreak_curves",), "jailbreak_curves", (JAILBROKEN,), of="arm"
    ),
    "figure_9": Item("seconds that people took for a final token", ("human_times",), "human_times", ("human",)),
    "figure_10": Item("attention received, token by layer, DA", ("attention_received",), "attention_received"),
    "figure_11": Item("attention received, token by layer, DA + PRESTO", ("attention_received",), "attention_received"),
}


def table(item: str, frames: Frames, kinds: Mapping[str, str], judge: str) -> pd.DataFrame:
    """One of the paper's tables from ours. kinds: attack or task -> its kind."""
    return MAKERS[item](frames, kinds, judge)


def _table_1(frames: Frames, kinds: Mapping[str, str], judge: str) -> pd.DataFrame:
    """Mean score with its interval over requests, and over runs (samples or people) mean and standard deviation.

    `…_rest`: of the requests that were no examples when the prefills were written.
    """
    keys = ["model", "arm", "attack", "variant"]
    scores = frames["scores"]
    rows = scores[(scores["judge"] == judge) & scores["attack"].map(kinds).isin(RAP_KINDS)]
    rows = rows[rows["variant"] == rows.groupby(["model", "arm", "attack"])["variant"].transform("first")]
    runs = frames["runs"]
    found = rows[[*keys, "mean", "low", "high", "n", "missing"]].merge(
        runs[runs["judge"] == judge].drop(columns="judge"), on=keys, how="left"
    )
    rest = frames["scores_without_examples"]
    rest = rest.loc[rest["judge"] == judge, [*keys, "mean", "low", "high", "n"]]
    return found.merge(rest, on=keys, how="left", suffixes=("", "_rest")).reset_index(drop=True)


def _table_2(frames: Frames, kinds: Mapping[str, str], judge: str) -> pd.DataFrame:
    """The most and the least widespread candidates of the training requests, with how many requests have each in their top 20, and how many there are."""
    found = frames["refusal_tokens"]
    found = found[found["split"] == "train"]
    rows = []
    for (model, arm, seed), group in found.groupby(["model", "arm", "seed"], sort=False):
        ordered = group.sort_values("requests", ascending=False, kind="stable")
        ends = [("top", ordered.head(SHOWN)), ("bottom", ordered.iloc[SHOWN:].tail(SHOWN))]
        rows += [
            {
                "model": model,
                "arm": arm,
                "seed": seed,
                "end": end,
                "token": row.token,
                "requests": row.requests,
                "total": len(group),
            }
            for end, part in ends
            for row in part.itertuples()
        ]
    return pd.DataFrame(rows, columns=["model", "arm", "seed", "end", "token", "requests", "total"])


def _table_3(frames: Frames, kinds: Mapping[str, str], judge: str) -> pd.DataFrame:
    """Of every target: the paper breaks one table over two pages."""
    return frames["helper_refusals"]


def _table_5(frames: Frames, kinds: Mapping[str, str], judge: str) -> pd.DataFrame:
    found = frames["helpers"]
    return found.loc[found["kind"] == "all", ["model", "target", "accuracy", "spread", "redraws", "n"]].reset_index(drop=True)


def _table_6(frames: Frames, kinds: Mapping[str, str], judge: str) -> pd.DataFrame:
    found = frames["utility"]
    return found[found["task"].map(kinds).isin(["mt_bench", "lm_eval"])].reset_index(drop=True)


def _table_7(frames: Frames, kinds: Mapping[str, str], judge: str) -> pd.DataFrame:
    """Mean score by k, at the attack's whole budget of steps and behind the prefill."""
    scores = frames["scores"]
    rows = scores[(scores["judge"] == judge) & (scores["attack"].map(kinds) == "autorap")]
    parts = rows["variant"].str.extract(r"^k(?P<k>\d+)_prefill_s(?P<steps>\d+)$").astype(float)
    rows = rows.assign(k=parts["k"], steps=parts["steps"]).dropna(subset=["k"])
    rows = rows[rows["steps"] == rows.groupby("attack")["steps"].transform("max")]
    columns = ["model", "arm", "attack", "k", "mean", "low", "high", "n", "missing"]
    return rows.sort_values(["model", "arm", "attack", "k"], kind="stable")[columns].astype({"k": int}).reset_index(drop=True)


def _table_8(frames: Frames, kinds: Mapping[str, str], judge: str) -> pd.DataFrame:
    scores = frames["scores"]
    rows = scores[(scores["judge"] == judge) & (scores["attack"].map(kinds) == "gcg")]
    return rows[["model", "arm", "attack", "mean", "low", "high", "n", "missing"]].reset_index(drop=True)


MAKERS: dict[str, Callable[[Frames, Mapping[str, str], str], pd.DataFrame]] = {
    "table_1": _table_1,
    "table_2": _table_2,
    "table_3": _table_3,
    "table_4": _table_3,
    "table_5": _table_5,
    "table_6": _table_6,
    "table_7": _table_7,
    "table_8": _table_8,
}
