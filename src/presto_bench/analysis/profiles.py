"""What arms look like from within, as the report's tables have it: ranks, attention, what stands in the top 20, the variety of what they were taught. Pure: frames in, frames out."""

import numpy as np
import pandas as pd

from presto_bench.analysis import depth, stats

KINDS = ("plausible", "plausible_refused", "refusal", "other")  # of tokens in the top 20 (candidates.py)
WEIGHTINGS = {
    "spearman": "inverse rank",
    "spearman_square": "inverse rank squared",
    "spearman_uniform": "equal",
}  # ranks.RANK_WEIGHTS
PLACES = {"first": "bare prompt", "after_prefill": "behind a prefill"}
K_VALUES = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000)


def rank_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Share of tokens in the top k, and reach@k, over k: mean over texts, by model, arm and cell of the 2 x 2."""
    rows = []
    for (model, arm, role), group in table.groupby(["model", "arm", "role"], sort=False):
        texts = [text["rank"].to_numpy() for _, text in group.sort_values("position").groupby(["seed", "prompt_id"])]
        for k in K_VALUES:
            in_top = float(np.mean([depth.in_top(text, k) for text in texts]))
            reach = float(np.mean([depth.reach(text, k) for text in texts]))
            rows.append({"model": model, "arm": arm, "role": role, "k": k, "in_top": in_top, "reach": reach})
    return pd.DataFrame(rows, columns=["model", "arm", "role", "k", "in_top", "reach"])


def rank_summary(table: pd.DataFrame) -> pd.DataFrame:
    """The numbers of summary.json's `ranks`, by model, arm and cell."""
    rows = []
    for (model, arm, role), group in table.groupby(["model", "arm", "role"], sort=False):
        texts = [text["rank"].to_numpy() for _, text in group.sort_values("position").groupby(["seed", "prompt_id"])]
        start = group[group["position"] == 0]
        rows.append(
            {
                "model": model,
                "arm": arm,
                "role": role,
                "in_top20": float(np.mean([depth.in_top(text, 20) for text in texts])),
                "median_rank": float(group["rank"].median()),
                "reach20": float(np.mean([depth.reach(text, 20) for text in texts])),
                "kl_first": float(start["kl_first"].mean()),
                "overlap20": float(start["overlap20"].mean()),
                "refusal_mass": float(start["refusal_mass"].mean()),
                "n": len(texts),
            }
        )
    return pd.DataFrame(rows)


def push_forward(table: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Weighted Spearman correlation of an arm's ranks after the prefill with the original model's on the bare prompt.

    One row per model, arm and weighting, over requests and seeds. table: `first_tokens`. Column `bare`: the same for
    the arm's ranks on the bare prompt, on which a prefill cannot improve.
    """
    rows = []
    for (model, arm), group in table.groupby(["model", "arm"], sort=False):
        places = dict(iter(group.groupby("place")))
        for name, says in WEIGHTINGS.items():
            behind = places["after_prefill"].dropna(subset=[name])
            if behind.empty:
                continue
            found = stats.mean_interval(stats.grid(behind.assign(score=behind[name])), resamples)
            rows.append((model, arm, says, found.value, found.low, found.high, float(places["first"][name].mean()), found.n))
    return pd.DataFrame(rows, columns=["model", "arm", "weights", "value", "low", "high", "bare", "n"])


def first_entropy(table: pd.DataFrame) -> pd.DataFrame:
    """Box-plot numbers of the next token's entropy (nats) on the bare prompt and behind a prefill, by model and arm. table: `first_tokens`.

    whisker: the largest value within 1.5 interquartile ranges of the third quartile.
    """
    rows = []
    for (model, arm, place), group in table.groupby(["model", "arm", "place"], sort=False):
        values = group["entropy"].to_numpy()
        first, median, third = np.quantile(values, [0.25, 0.5, 0.75])
        low, high = (
            values[values >= first - 1.5 * (third - first)].min(),
            values[values <= third + 1.5 * (third - first)].max(),
        )
        rows.append((model, arm, PLACES[str(place)], low, first, median, third, high, len(values)))
    names = ["lower_whisker", "first_quartile", "entropy_median", "entropy_third_quartile", "entropy_whisker", "n"]
    return pd.DataFrame(rows, columns=["model", "arm", "place", *names])


def attention_profile(table: pd.DataFrame) -> pd.DataFrame:
    """Mean mass on the prefill over held-out requests, by model, arm, layer and head."""
    return table.groupby(["model", "arm", "layer", "head"], sort=False, as_index=False)[["mass"]].mean()


def attention_received(table: pd.DataFrame) -> pd.DataFrame:
    """Mean attention that each token of the shown request receives, over seeds, by model, arm, layer and position."""
    keys = ["model", "arm", "layer", "position", "part"]
    return table.groupby(keys, sort=False, as_index=False)[["received"]].mean()


def composition_table(table: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Share of each kind of token in each arm's top 20 behind harmful beginnings, over requests and seeds. n: requests."""
    rows = []
    for (model, arm), group in table.groupby(["model", "arm"], sort=False):
        for kind in KINDS:
            found = stats.mean_interval(stats.grid(group.assign(score=(group["kind"] == kind).astype(float))), resamples)
            rows.append((model, arm, kind, found.value, found.low, found.high, found.n))
    return pd.DataFrame(rows, columns=["model", "arm", "kind", "share", "low", "high", "n"])


def candidate_table(table: pd.DataFrame) -> pd.DataFrame:
    """What share of each kind of candidate an attack's helper goes on with."""
    keys = ["model", "arm", "attack", "kind"]
    counts = table.assign(harmful=table["said"] > 0.5).groupby(keys, sort=False)["harmful"]
    return counts.agg(called_harmful="mean", n="size").reset_index()


def composition_by_rank(table: pd.DataFrame) -> pd.DataFrame:
    """Share of each kind of token at each rank, by model and arm."""
    keys = ["model", "arm", "rank"]
    counts = table.groupby([*keys, "kind"], sort=False).size().rename("n").reset_index()
    return counts.assign(share=counts["n"] / counts.groupby(keys)["n"].transform("sum"))[[*keys, "kind", "share", "n"]]


def variety(refusals: pd.Series) -> dict[str, float]:
    """How much training targets vary: how many differ, and the entropy (bits) of the whole texts and of their first words."""
    return {
        "n": len(refusals),
        "distinct": refusals.nunique(),
        "text_bits": _entropy(refusals),
        "opening_bits": _entropy(refusals.str.split().str[0].fillna("")),
    }


def _entropy(texts: pd.Series) -> float:
    """Shannon entropy (bits) of the empirical distribution."""
    shares = texts.value_counts(normalize=True).to_numpy()
    return float(-(shares * np.log2(shares)).sum()) + 0.0
