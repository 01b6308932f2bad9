"""What was done to an arm, in a few words: figures that compare methods give each one colour."""

from presto_bench.config.arms import DecodingArm, FinetunedArm, SafeDecodingArm, TrainingArm
from presto_bench.config.experiment import Config
from presto_bench.config.parts import Item

UNTRAINED = "not trained here"
TERMS = {"kl": "KL", "transition": "transition (DeRTa)", "label_smoothing": "label smoothing"}
AFTERWARDS = {DecodingArm: "re-opened turn", SafeDecodingArm: "safe decoding", FinetunedArm: "fine-tuning attack"}


def method(config: Config, arm: Item) -> str:
    """A trained arm's objective; of an arm made of another one, that one's method and what followed."""
    if isinstance(arm, TrainingArm):
        return " + ".join(_terms(arm))
    if type(arm) in AFTERWARDS:
        before = method(config, config.item("arms", arm.of))
        return AFTERWARDS[type(arm)] if before == UNTRAINED else f"{before}, {AFTERWARDS[type(arm)]}"
    return UNTRAINED


def _terms(arm: TrainingArm) -> list[str]:
    found = ["DA"] if arm.prefilled_cross_entropy else []
    if arm.presto is not None:
        found.append("PRESTO" if has_presto(arm) else "a control's penalty")
    return (found + [said for term, said in TERMS.items() if getattr(arm, term)]) or ["utility and direct refusals alone"]


def has_presto(arm: TrainingArm) -> bool:
    """Whether PRESTO's term is in the objective; a control penalises other attention."""
    return arm.presto is not None and arm.presto.keys == "prefill"


def term_pairs(config: Config) -> list[tuple[str, str]]:
    """(without, with): every trained arm that lacks PRESTO's term, its controls among them, beside every one that has it."""
    arms = [arm for arm in config.arms if isinstance(arm, TrainingArm)]
    return [(a.name, b.name) for a in arms for b in arms if has_presto(b) and not has_presto(a)]
