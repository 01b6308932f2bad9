"""Error rates of the keyword refusal detector, as measured on hand-labelled texts that its wordings were not made from.

Its file says where the texts are from, and the hash of the wordings that were measured; tests/judges/test_refusal_labels.py holds both to it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MEASURED = Path(__file__).parent / "data" / "refusal_detector.json"


@dataclass(frozen=True)
class Errors:
    """What the detector made of one system's responses: of so many full refusals it found some, of so many full compliances it called some refusals."""

    system: str
    refusals: int
    found: int
    compliances: int
    false: int


def of_policy(policy: str) -> list[Errors]:
    """By system. The stand-in `cooking` has wordings of its own, and hand labels for them; all others share the detector's."""
    known = json.loads(MEASURED.read_text())
    return [Errors(**system) for system in known.get(policy, known["chat"])["systems"]]


def recall(errors: Sequence[Errors]) -> float:
    return sum(one.found for one in errors) / sum(one.refusals for one in errors)


def false_positives(errors: Sequence[Errors]) -> float:
    return sum(one.false for one in errors) / sum(one.compliances for one in errors)
