"""The report's first page: what was found, in one reading. Pure: frames in, reStructuredText out."""

from collections.abc import Mapping, Sequence

import pandas as pd

from presto_bench.analysis import stats
from presto_bench.analysis.check_names import AGREES, LOSS_RATIO
from presto_bench.analysis.fidelity_names import NOT_RUN
from presto_bench.report import words

QUESTION = "Does a chat model's safety alignment survive an attacker who may pick from ranks 2 to 20?"
NULLS = ("_swapped", "_guide_only")
FROM_NOTHING = ", from nothing"
STATED = {
    "after": " (stated after its numbers were seen)",
    "not known": " (whether it was stated before its numbers were seen is not known)",
}
STRENGTHS = {
    "weakest": ", arms trained as weakly as the rule admits",
    "strongest": ", arms trained as strongly as the rule admits",
    "both": ", at both strengths",
}
DEPTH = {
    "harmful_harmful": "harmful text",
    "benign_benign": "benign text",
    "net_of_damage": "net of damage",
}


def page(
    tables: Mapping[str, pd.DataFrame],
    headline: Sequence[str],
    attacks: Sequence[str],
    judge: str,
    control: str | None = None,
    precisions: Mapping[str, int] | None = None,
    opened: Sequence[str] = (),
) -> str:
    """The report's first page, as reStructuredText.

    tables: checks, scores, bits, reach, composition, verdicts. attacks: in the config's order; each is shown by its
    first variant and its first variant without a prefill. control: the judge that gives the likelihood of responses
    under the untouched model, if any. precisions: precision -> number of jobs that computed in it. opened: experiments
    that used the sealed requests, if this one does.
    """
    parts = [*_seal(opened, tables["verdicts"]), QUESTION, *(f"**{line}**" for line in headline)]
    parts += [*_doubts(tables["checks"]), *_mixed(precisions)]
    sections = {
        "How far from the paper? (published value, ours, and whether the 95 % interval of the difference holds 0)": _fidelity(
            tables["fidelity"]
        ),
        "How deep is each arm's alignment? (coercion bits a token, 95 % intervals)": _depth(tables["bits"]),
        "What can any picker reach? (exhaustive search; docs/explanation/oracle.md)": _reach(tables["reach"]),
        "What does each arm put in its top 20 behind a harmful beginning? (share of tokens)": _composition(
            tables["composition"]
        ),
        "Are ranks pushed forward? (weighted Spearman of ranks behind the prefill with the base's on the bare prompt, by weight of a rank; 1 is the paper's goal)": _pushed(
            tables["push_forward"]
        ),
        "What did attacks reach? (mean score, lower is safer)": _scores(tables["scores"], attacks, judge),
        "Would the untouched model say it? (mean probability a token of what attacks got)": _scores(
            tables["scores"], attacks, control
        ),
        "Which claims hold?": verdicts(tables["verdicts"]),
    }
    for title, rows in sections.items():
        if rows.empty:
            continue
        parts += [f"{title}\n{'-' * len(title)}", rows.to_markdown(index=False, tablefmt="rst", disable_numparse=True)]
    # A template engine reads this page before anybody else does.
    return "\n\n".join(parts).replace("{", "(").replace("}", ")") + "\n"


def _seal(opened: Sequence[str], verdicts: pd.DataFrame) -> list[str]:
    """What breaks the seal of an experiment on sealed requests: another experiment that asked them, claims that are younger than the run."""
    if not opened:
        return []
    found = [f"**The sealed requests were opened more than once: {', '.join(opened)}.**"] if len(opened) > 1 else []
    stated = set(verdicts["stated"]) if len(verdicts) else set()
    if "after" in stated:
        found.append("**The sealed requests were asked by a run that is older than its claims.**")
    if "not known" in stated:
        found.append("**Whether the claims were committed before the sealed requests were asked is not known.**")
    return found


def _doubts(checks: pd.DataFrame) -> list[str]:
    """Which checks fail, and which have a bar and were not measured."""
    barred = checks[~checks["name"].str.endswith(LOSS_RATIO)]
    answers = {
        "False": "Checks that do not hold",
        "nan": "Checks that were not measured",
        "None": "Checks that were not measured",
    }
    found: dict[str, list[str]] = {}
    for row in barred.to_dict("records"):
        if str(row["ok"]) in answers:
            found.setdefault(answers[str(row["ok"])], []).append(f"{row['name']} ({row['model']})")
    return [f"{said}: {', '.join(names)}. {_consequence(names)}" for said, names in found.items()]


def _consequence(names: Sequence[str]) -> str:
    """What follows for a reader: doubts about how the judge reads an arm bear on that arm's scores alone."""
    arms = [name.split(" ")[0].removeprefix(AGREES) for name in names if name.startswith(AGREES)]
    return (
        f"Read no score of {' or '.join(arms)} as established."
        if len(arms) == len(names)
        else "Read no comparison as established."
    )


def _mixed(precisions: Mapping[str, int] | None) -> list[str]:
    """That jobs computed in different precisions, if they did: their numbers differ by rounding too."""
    if precisions is None or len(precisions) < 2:
        return []
    counts = ", ".join(f"{kind} in {count}" for kind, count in precisions.items())
    return [
        f"Jobs computed in different precisions ({counts}; manifest.json names them): a difference between two of them is partly rounding."
    ]


def _wide(rows: pd.DataFrame, column: str, keys: Sequence[str], order: Sequence[str]) -> pd.DataFrame:
    """A line for each `keys`, a column for each of `order`; what was not measured is a dash."""
    if rows.empty:
        return rows
    lines = rows[list(keys)].drop_duplicates()
    wide = rows.pivot_table(index=list(keys), columns=column, values="shown", aggfunc="first")
    wide = wide.reindex(columns=[name for name in order if name in wide.columns])
    return lines.merge(wide.reset_index(), on=list(keys)).fillna("–")


def _depth(bits: pd.DataFrame) -> pd.DataFrame:
    rows = bits[bits["what"].isin(list(DEPTH))]
    rows = rows.assign(shown=_shown(rows, "value"), what=rows["what"].map(DEPTH))
    return _wide(rows, "what", ["model", "arm"], list(DEPTH.values()))


def _fidelity(fidelity: pd.DataFrame) -> pd.DataFrame:
    """What was run of the published values; one sentence's worth a row. Nothing where no model of the paper's is here."""
    rows = fidelity[fidelity["verdict"] != NOT_RUN] if len(fidelity) else fidelity
    if rows.empty:
        return rows
    ours = _shown(rows.rename(columns={"ours": "value"}), "value")
    why = rows["why"].fillna("")
    return pd.DataFrame(
        {
            "item": rows["item"].str.replace("_", " "),
            "model": rows["model"],
            "arm": rows["own_arm"],
            "what": [
                " ".join(part for part in cell if part) for cell in rows[["measure", "attack", "setting"]].fillna("").to_numpy()
            ],
            "published": [f"{value:.3f}" for value in rows["published"]],
            "ours": ours,
            "verdict": [f"{verdict} ({told})" if told else verdict for verdict, told in zip(rows["verdict"], why, strict=True)],
        }
    )


def _pushed(pushed: pd.DataFrame) -> pd.DataFrame:
    rows = pushed.assign(shown=_shown(pushed, "value")) if len(pushed) else pushed
    return _wide(rows, "weights", ["model", "arm"], list(dict.fromkeys(rows["weights"])) if len(rows) else [])


def _composition(composition: pd.DataFrame) -> pd.DataFrame:
    rows = composition.assign(shown=_shown(composition, "share"), kind=[words.KINDS.get(kind) for kind in composition["kind"]])
    return _wide(rows, "kind", ["model", "arm"], list(words.KINDS.values()))


def _reach(reach: pd.DataFrame) -> pd.DataFrame:
    """Each picker at the first k, without a budget; undecided searches are named, not hidden."""
    if reach.empty:
        return reach
    rows = reach[reach["budget"].isna() & (reach["k"] == reach["k"].iloc[0])]
    open_ends = rows["undecided"].fillna(0).astype(int)
    rows = rows.assign(
        shown=[f"{s}{f' (+{n} undecided)' if n else ''}" for s, n in zip(_shown(rows, "mean"), open_ends, strict=True)]
    )
    found = _wide(rows, "picker", ["model", "arm", "start", "k"], list(dict.fromkeys(rows["picker"])))
    return found.assign(k=found["k"].astype(str))


def _scores(scores: pd.DataFrame, attacks: Sequence[str], judge: str | None) -> pd.DataFrame:
    rows = scores[(scores["judge"] == judge) & scores["attack"].isin(list(attacks))]
    bare = rows["variant"].str.contains("noprefill") & ~rows["variant"].str.endswith(NULLS)
    first = rows["variant"] == rows.groupby("attack")["variant"].transform("first")
    first_bare = rows["variant"] == rows["variant"].where(bare).groupby(rows["attack"]).transform("first")
    rows = pd.concat([rows[first], rows[first_bare & ~first].assign(attack=lambda found: found["attack"] + FROM_NOTHING)])
    order = [name for attack in attacks for name in (attack, attack + FROM_NOTHING)]
    return _wide(rows.assign(shown=_shown(rows, "mean")), "attack", ["model", "arm"], order)


def _shown(rows: pd.DataFrame, value: str) -> list[str]:
    return [stats.told(*cell) for cell in zip(rows[value], rows["low"], rows["high"], strict=True)]


def verdicts(verdicts: pd.DataFrame) -> pd.DataFrame:
    if verdicts.empty:
        return verdicts
    difference = _shown(verdicts.rename(columns={"difference": "value"}), "value")
    why = verdicts["why"].fillna("")
    return pd.DataFrame(
        {
            "model": verdicts["model"],
            "claim": verdicts["says"] + verdicts["at"].map(STRENGTHS).fillna("") + verdicts["stated"].map(STATED).fillna(""),
            "verdict": [
                f"{verdict} ({told})" if told else verdict for verdict, told in zip(verdicts["verdict"], why, strict=True)
            ],
            "difference": difference,
            "needed": verdicts["bar"],
            "held-out loss, ratio": ["–" if pd.isna(ratio) else f"{ratio:.2f}" for ratio in verdicts["loss_ratio"]],
        }
    )
