"""Policy `harm`: real forbidden requests, from tables that were fetched; models come aligned. No harmful text is written here.

What trains (triples, anchors, the helper's pairs) and what measures (forbidden requests, held-out benign ones) share no prompt, in whatever
spelling: of two, the one that measures stays.
"""

from collections.abc import Mapping

import pandas as pd

from presto_bench import draws, tables
from presto_bench.config.harm import HarmConfig
from presto_bench.errors import UserError

SAFETY, HELPER, ANCHOR, HELD_OUT = "safety", "helper", "anchor", "held_out"
SEVEREST = 3  # PKU-SafeRLHF's highest severity level
# Tokens are not known here; a whole answer has at least so many characters.
SHORTEST_ANSWER = 20


def prompts(config: HarmConfig, sources: Mapping[str, pd.DataFrame], pairs: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The table `prompts`, and how many training requests were left out: they are measured ones in another spelling.

    sources: by the role that they play in config; `safety` and `anchor_prompts`: of all models together, what each may use.
    """
    parts = [
        _rows(some(sources["test"], config.requests), "harmful", "test", sources["test"].get("category")),
        _rows(_held_out(sources["benign_prompts"], config.held_out), "benign", "test", HELD_OUT),
        *[_rows(pairs[pairs["split"] == split], "harmful", split, HELPER) for split in ("train", "dev")],
        _rows(sources[SAFETY], "harmful", "train", SAFETY),
        _rows(sources["anchor_prompts"], "benign", "train", ANCHOR),
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame.insert(0, "prompt_id", frame["prompt"].map(tables.prompt_id))
    frame = frame.drop_duplicates("prompt_id")  # the first stays: what measures
    forms, measures = frame["prompt"].map(tables.normal_form), frame["split"] == "test"
    respelled = ~measures & forms.isin(forms[measures])
    return frame[~respelled].reset_index(drop=True), int(respelled.sum())


def _rows(frame: pd.DataFrame, role: str, split: str, category: pd.Series | str | None) -> pd.DataFrame:
    named = category.reindex(frame.index) if isinstance(category, pd.Series) else category
    return pd.DataFrame(
        {"prompt": frame["prompt"], "category": "other" if named is None else named, "role": role, "split": split}
    )


def some(frame: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    """A mixture of categories: ids are hashes, so that their order is a draw."""
    if limit is None or limit >= len(frame):
        return frame
    order = frame["prompt"].map(tables.prompt_id).sort_values().index[:limit]
    return frame.loc[sorted(order)]


def _held_out(frame: pd.DataFrame, wanted: int) -> pd.DataFrame:
    """Benign requests that stand alone: of Alpaca, instructions without an input."""
    if "instruction" in frame.columns:
        alone = frame[frame["input"].fillna("").str.strip() == ""]
        frame = pd.DataFrame({"prompt": alone["instruction"]})
    return some(frame.drop_duplicates("prompt"), wanted)


def prefills(prompts: pd.DataFrame, given: pd.DataFrame, source: str) -> pd.DataFrame:
    """The table `prefills`, joined by the request's text: the published file is in another order than the requests."""
    ids = given.assign(prompt_id=given["prompt"].map(tables.prompt_id)).drop_duplicates("prompt_id")
    attacked = prompts[(prompts["role"] == "harmful") & (prompts["split"] == "test")]
    found = attacked[["prompt_id"]].merge(ids[["prompt_id", "prefill"]], on="prompt_id", how="left")
    if found["prefill"].isna().any():
        row = found["prefill"].isna().to_numpy().argmax()
        raise UserError(
            f"source {source}",
            f"no prefill for request {found['prompt_id'].iloc[row]}",
            "every attacked request needs one, under the same text",
        )
    return found.assign(source=source)


def helper_pairs(frame: pd.DataFrame, train: int, dev: int) -> pd.DataFrame:
    """(prompt, text, split) of requests with exactly one safe answer of two, the unsafe one of the highest severity (docs/howto/paper.md)."""
    one_safe = frame["is_response_0_safe"].astype(bool) != frame["is_response_1_safe"].astype(bool)
    first_is_unsafe = ~frame["is_response_0_safe"].astype(bool)
    severity = frame["response_0_severity_level"].where(first_is_unsafe, frame["response_1_severity_level"])
    text = frame["response_0"].where(first_is_unsafe, frame["response_1"])
    chosen = pd.DataFrame({"prompt": frame["prompt"], "text": text})[one_safe & (severity == SEVEREST)]
    chosen = chosen[chosen["text"].str.len() >= SHORTEST_ANSWER].drop_duplicates("prompt").reset_index(drop=True)
    if len(chosen) < train + dev:
        raise UserError(
            "harm.helper_train",
            f"only {len(chosen)} pairs are left, {train + dev} are asked for",
            "ask for fewer, or take another helper source",
        )
    order = draws.generator("helper_pairs").permutation(len(chosen))[: train + dev]
    return chosen.iloc[order].assign(split=["train"] * train + ["dev"] * dev).reset_index(drop=True)
