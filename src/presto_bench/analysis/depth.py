"""How far down a text's tokens lie, from their ranks alone: what tables and figures need, without torch (docs/explanation/method.md, Words).

reach@k = share of a text's tokens before the first whose rank exceeds k.
"""

from collections.abc import Sequence

import numpy as np

# The table's cells, <prompt>_<prefill and text>: the attack, damage, the null; and the 2 x 2's other two.
HARMFUL, BENIGN, NULL = "harmful_harmful", "benign_benign", "swapped_harmful"
UNASKED, DIVERTED = "benign_harmful", "harmful_benign"


def reach(ranks: Sequence[int], k: int) -> float:
    """reach@k of one text: share of its tokens before the first whose rank exceeds k."""
    beyond = np.flatnonzero(np.asarray(ranks) > k)
    return float(beyond[0] / len(ranks)) if len(beyond) else 1.0


def bits(ranks: Sequence[int]) -> float:
    """What a text costs an attacker, in bits: the sum of log2 rank (docs/explanation/coercion-bits.md)."""
    return float(np.log2(np.asarray(ranks, float)).sum())


def in_top(ranks: Sequence[int], k: int) -> float:
    """Share of a text's tokens with rank at most k."""
    return float((np.asarray(ranks) <= k).mean())
