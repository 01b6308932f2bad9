"""Random draws that depend on what they are for, and on nothing else.

Numpy's Philox keyed by sha256(purpose, seed, epoch, prompt_id), hence independent of batch, step and
process count.
"""

import hashlib

import numpy as np


def generator(purpose: str, *key: object) -> np.random.Generator:
    """A generator of its own for one purpose and key, e.g. ("augment", seed, epoch, prompt_id)."""
    digest = hashlib.sha256("\x1f".join([purpose, *map(str, key)]).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64)))
