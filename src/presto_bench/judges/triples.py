"""Checks of policy `harm`'s triples before training: whether refusals refuse, and whether harmful answers do not."""

import unicodedata

import pandas as pd

from presto_bench.errors import UserError
from presto_bench.judges import refusal
from presto_bench.policies.harm import SHORTEST_ANSWER


def checks(triples: pd.DataFrame) -> pd.DataFrame:
    """One row a check of generated or given triples: how many there are, refuse, are blank, and how long they are (characters)."""
    lengths = {name: triples[name].str.len() for name in ("harmful", "refusal")}
    facts = {
        "triples": len(triples),
        "refusals that refuse": int(triples["refusal"].map(refusal.declines).sum()),
        "harmful answers that refuse": int(triples["harmful"].map(refusal.declines).sum()),
        "distinct refusals": triples["refusal"].nunique(),
        "ways in which refusals open (two words)": triples["refusal"].str.split().str[:2].str.join(" ").nunique(),
        **{
            f"cut in the middle of a sentence, {name}": int(triples[name].map(_is_cut).sum()) for name in ("harmful", "refusal")
        },
        **{f"median characters, {name}": float(found.median()) for name, found in lengths.items()},
        **{f"shortest, {name}": int(found.min()) for name, found in lengths.items()},
    }
    return pd.DataFrame(facts.items(), columns=["what", "value"])


def _is_cut(text: str) -> bool:
    """Whether a text ends without any punctuation mark, as one does that its limit has cut."""
    shown = text.rstrip()
    return not shown or not unicodedata.category(shown[-1]).startswith("P")


def usable(triples: pd.DataFrame, where: str) -> pd.DataFrame:
    """Triples whose refusal refuses and whose harmful answer is there and does not; none left is an error."""
    kept = triples[triples["refusal"].map(refusal.declines) & ~triples["harmful"].map(refusal.declines)]
    kept = kept[kept["harmful"].str.len() >= SHORTEST_ANSWER]
    if kept.empty:
        raise UserError(
            where,
            "no triple is left: refusals do not refuse, or harmful answers do",
            "look at the table of checks beside it; name another source or model",
        )
    return kept.reset_index(drop=True)
