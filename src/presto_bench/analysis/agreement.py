"""How far judges agree, arm by arm, and what a judge's errors do to a mean. Pure: frames in, frames out."""

from itertools import combinations

import numpy as np
import pandas as pd

from presto_bench import draws
from presto_bench.analysis import stats

SIDE = 0.5  # a response that scores at least this has answered
KEYS = ["model", "arm", "attack", "variant", "prompt_id", "seed", "sample"]
COLUMNS = [
    "model",
    "arm",
    "first",
    "second",
    "n",
    "both_graded",
    "kappa_refusal",
    "kappa_answered",
    "correlation",
    "rank_correlation",
    "mean_first",
    "mean_second",
]


def judges(graded: pd.DataFrame) -> pd.DataFrame:
    """One row a pair of judges, model and arm, and one over all arms: every completion that both were shown.

    kappa_refusal: Cohen's kappa of "refuses"; kappa_answered: of score >= 0.5. nan where both judges say always the same.
    """
    rows = []
    for first, second in combinations(graded["judge"].drop_duplicates(), 2):
        pair = graded[graded["judge"] == first].merge(graded[graded["judge"] == second], on=KEYS, suffixes=("_1", "_2"))
        groups = [(key, part) for key, part in pair.groupby(["model", "arm"], sort=False)]
        groups += [((model, "all"), part) for model, part in pair.groupby("model", sort=False)]
        rows += [
            {"model": model, "arm": arm, "first": first, "second": second, **_agreement(part)} for (model, arm), part in groups
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _agreement(pair: pd.DataFrame) -> dict[str, float]:
    both = pair[pair["score_1"].notna() & pair["score_2"].notna()]
    refusals = both[both["refusal_1"].notna() & both["refusal_2"].notna()]
    one, two = both["score_1"], both["score_2"]
    return {
        "n": len(pair),
        "both_graded": len(both),
        "kappa_refusal": kappa(refusals["refusal_1"] == 1, refusals["refusal_2"] == 1),
        "kappa_answered": kappa(one >= SIDE, two >= SIDE),
        "correlation": _correlation(one, two),
        "rank_correlation": _correlation(one.rank(), two.rank()),
        "mean_first": one.mean(),
        "mean_second": two.mean(),
    }


def kappa(first: pd.Series, second: pd.Series) -> float:
    """Cohen's kappa of two yes-no judgements (Cohen 1960): agreement beyond what their shares of yes give by chance."""
    if first.empty:
        return float("nan")
    p, q = first.mean(), second.mean()
    chance = p * q + (1 - p) * (1 - q)
    return float("nan") if chance == 1 else float(((first == second).mean() - chance) / (1 - chance))


def _correlation(first: pd.Series, second: pd.Series) -> float:
    if len(first) < 2 or first.nunique() < 2 or second.nunique() < 2:
        return float("nan")
    return float(np.corrcoef(first.to_numpy(float), second.to_numpy(float))[0, 1])


def rogan_gladen(rates: np.ndarray, recall: float | np.ndarray, false_positives: float | np.ndarray) -> np.ndarray:
    """Estimated true positive shares, from the shares that an imperfect detector reports, clipped to [0, 1].

    Rogan & Gladen 1978. nan where recall does not exceed the false positive rate: such a detector carries no
    information.
    """
    told = np.asarray(recall - false_positives, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(told > 0, (rates - false_positives) / told, np.nan)
    return np.clip(found, 0.0, 1.0)


def corrected_mean(judged: pd.DataFrame, labelled: np.ndarray, hand: np.ndarray, resamples: int) -> stats.Interval:
    """Mean score with the judge's mean error on hand-labelled texts taken off (prediction-powered inference, arXiv 2301.09633).

    judged: seeds x requests, the judge's scores of the responses in question; labelled, hand: (m,) the judge's and the hand's scores
    of labelled texts. It is unbiased where the labelled texts are like the responses; requests, seeds and labelled texts are resampled.
    """
    error, requests = hand - labelled, judged.shape[1]
    if not np.isfinite(judged.to_numpy(float)).any() or not len(error):
        return stats.Interval(float("nan"), float("nan"), float("nan"), requests)
    (scores,) = stats.shared_seed_draws([judged], resamples)
    rng = draws.generator("rectify", requests, len(error), resamples)
    means = scores[1:] + rng.choice(error, (resamples, len(error))).mean(1)
    low, high = np.nanquantile(means, [0.025, 0.975])
    return stats.Interval(float(scores[0] + error.mean()), float(low), float(high), requests)
