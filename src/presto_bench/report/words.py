"""Names of attacks, variants, texts and checks as people read them."""

import re
from collections.abc import Mapping

ATTACKS = {
    "direct": "bare request",
    "prefilling": "prefilling",
    "sampling": "best of samples",
    "guided": "guided RAP",
    "autorap": "AutoRAP",
    "human": "human RAP",
    "oracle": "any picker (search)",
    "gcg": "GCG",
    "embedding": "embedding attack",
}
NULLS = {
    "swapped": "null: arm and guide read another request",
    "guide_only": "null: the arm reads another request",
}
ROLES = {
    "harmful_harmful": "harmful text on the harmful prompt",
    "benign_benign": "benign text on a benign prompt",
    "harmful_benign": "benign text on the harmful prompt",
    "benign_harmful": "harmful text on a benign prompt",
    "swapped_harmful": "harmful text on another request's prompt (null)",
}
KINDS = {
    "refusal": "refusal",
    "plausible": "plausible",
    "plausible_refused": "plausible, then refused",
    "other": "neither (damage)",
}
_RANKED = re.compile(
    r"k(?P<k>\d+)(?:_(?P<start>prefill|noprefill))?(?:_s(?P<steps>\d+)|_b(?P<budget>\d+)|_(?P<null>swapped|guide_only))?"
)
_BEHIND = re.compile(r"(?P<greedy>greedy_)?(?P<of>prefill|recipe)_(?P<length>full|\d+)")
_BEST = re.compile(r"t(?P<temperature>[\d.]+)_best_of_(?P<samples>\d+)")


def attack(name: str, kinds: Mapping[str, str]) -> str:
    """An attack by its kind, with its own name where the config calls it otherwise. kinds: attack -> kind."""
    kind = kinds.get(name, name)
    told = ATTACKS.get(kind, name.replace("_", " "))
    return told if name == kind else f"{told} ({name.replace('_', ' ')})"


def variant(name: str) -> str:
    """What a variant's name says: ranks, start, length, null. Another name as it is, with spaces."""
    if found := _RANKED.fullmatch(name):
        return ", ".join(_of_ranks(found.groupdict()))
    if found := _BEHIND.fullmatch(name):
        return _of_length(found["of"], found["length"], bool(found["greedy"]))
    if found := _BEST.fullmatch(name):
        return f"best of {found['samples']}, temperature {found['temperature']}"
    if name.startswith("kind_"):
        return f"prefill: {name.removeprefix('kind_').replace('_', ' ')}"
    return {"user_turn": "asked for in the user's turn"}.get(name, name.replace("_", " "))


def k_and_start(name: str) -> tuple[str, str]:
    """(k, where a response begins) of a variant; a dash where it has none."""
    found = _RANKED.fullmatch(name)
    if found is None:
        return "–", variant(name) if _BEHIND.fullmatch(name) else "–"
    return found["k"], {"prefill": "behind the prefill", "noprefill": "no prefill"}.get(found["start"] or "", "–")


def attacked(name: str, of: str, kinds: Mapping[str, str]) -> str:
    """An attack and its variant: "guided RAP, k = 20, no prefill"."""
    return f"{attack(name, kinds)}, {variant(of)}"


def role(name: str) -> str:
    return ROLES.get(name, name.replace("_", " "))


def _of_ranks(parts: Mapping[str, str | None]) -> list[str]:
    said = [f"k = {parts['k']}"]
    if parts["start"]:
        said.append("behind the prefill" if parts["start"] == "prefill" else "no prefill")
    if parts["steps"]:
        said.append(f"{parts['steps']} steps")
    if parts["budget"]:
        said.append(f"{parts['budget']} picks below rank 1")
    if parts["null"]:
        said.append(NULLS[parts["null"]])
    return said


def _of_length(source: str, length: str, greedy: bool) -> str:
    whose = "the attack's prefill" if source == "prefill" else "an untouched answer"
    said = f"behind {whose}" if length == "full" else f"behind {length} tokens of {whose}"
    if length == "0":
        said = "no prefill"
    return f"greedy, {said}" if greedy else said


# Beginnings or ends of a check's name -> what a reader should know of it.
_CHECKS = (
    ("base_refuses_first_token", "The base refuses the bare requests. If it did not, there would be no alignment to attack."),
    (
        "base_refuses_after_prefill",
        "Behind a prefill the base no longer refuses: its alignment is shallow, which is what the defences are to mend.",
    ),
    ("base_prefilling_score", "Prefilling gets answers out of the base, so that a lower score of an arm means something."),
    ("base_guided_score", "Guided RAP gets answers out of the base, so that a lower score of an arm means something."),
    (
        "base_guided_above_null",
        "Guided RAP scores well above its null, in which nothing tells what is wanted: its score is no artefact of judge or guide.",
    ),
    ("_refuses_after_prefill", "The reference arm refuses behind prefills: it is the defence that rank attacks are about."),
    ("_heldout_loss_ratio", "How much of the model's ability to answer benign requests is lost. It only reports."),
    ("judge_agrees_on_", "The judge and a person who did not know the arm put outputs of this arm on the same side."),
    ("splits_disjoint", "No request that was attacked had been in anything that was trained."),
    ("prefill_alone", "The prefill by itself gets no score: what counts is what the model adds."),
    ("strength", "The learning rate is one that the strength rule admits, decided on other requests before."),
)


def check(name: str) -> str:
    """What a check is about, in a sentence; empty for one without."""
    return next((told for part, told in _CHECKS if part in name), "")
