"""Committed numbers as Markdown tables, for update_readme.py. Each takes what a run's summary holds, and gives lines."""

from collections.abc import Iterable, Sequence

PICKERS = "any picker"
START = {"prefill": "behind the prefill", "noprefill": "from nothing"}
LABELS = {"untouched": "untouched model", "base": "base (shallowly aligned)", "da": "DA", "da_presto": "DA + PRESTO"}
SPANS = {"prefill": "prefill", "sham": "random span", "prompt": "whole prompt"}
PATCHES = {"knock_out": "no attention to the prefill", "take_over": "the other arm's attention"}
ROLES = {"harmful_harmful": "harmful", "benign_benign": "benign"}
LIKELIHOOD = "likelihood"


def scores(summary: dict, model: str) -> list[str]:
    """Mean scores of the default judge by arm and attack, and utility by task."""
    attacks = list(summary["differences"].get(model, {})) or list(next(iter(summary["scores"][model].values())))
    judge, utility = default_judge(summary, model), summary["utility"].get(model, {})
    tasks = sorted({task for arm in utility.values() for task in arm})
    rows = [
        [label(arm)]
        + [_interval(found.get(attack, {}).get(judge)) for attack in attacks]
        + [_interval(utility.get(arm, {}).get(task)) for task in tasks]
        for arm, found in summary["scores"][model].items()
    ]
    return _grid([f"{model}: mean score [95 %]", *attacks, *tasks], rows)


def likelihoods(summary: dict, model: str) -> list[str]:
    """How likely attacked responses are to the untouched model, by arm and attack."""
    found = {
        arm: {attack: cell[LIKELIHOOD] for attack, cell in attacks.items() if LIKELIHOOD in cell}
        for arm, attacks in summary["scores"][model].items()
    }
    attacks = list(dict.fromkeys(attack for cells in found.values() for attack in cells))
    rows = [[label(arm), *(_interval(cells.get(attack)) for attack in attacks)] for arm, cells in found.items() if cells]
    return _grid(["response's mean probability a token, to the untouched model", *attacks], rows)


def differences(committed: dict, model: str) -> list[str]:
    """DA minus DA + PRESTO by attack and variant, nulls left out; p over training seeds alone."""
    judge = default_judge(committed["summary"], model)
    rows = [
        [row["attack"], row["variant"], _number(row, "value"), _p(row["p_seeds"])]
        for row in committed["comparisons"]
        if (row["model"], row["judge"]) == (model, judge) and not row["variant"].endswith(("_null", "_swapped", "_guide_only"))
    ]
    return _grid(["DA - DA + PRESTO: mean score", "variant", "value [95 %]", "p (seeds alone)"], rows)


def verdicts(found: list[dict], model: str) -> list[str]:
    """Claims and what became of them."""
    rows = []
    for row in found:
        if row["model"] != model:
            continue
        measured = row["difference"] is not None
        difference = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]" if measured else "–"
        why = f" ({row['why']})" if row["why"] else ""
        says = row["says"] + (" *(stated after its numbers were seen)*" if row["stated"] == "after" else "")
        strength = {"weakest": "weakest rate: ", "strongest": "strongest rate: ", "both": "both: "}.get(row.get("at") or "", "")
        ratio = "–" if row["loss_ratio"] is None else f"{row['loss_ratio']:.2f}"
        rows.append(
            [
                strength + says,
                f"**{row['verdict']}**{why}",
                difference,
                row["bar"],
                ratio,
                _p(row["p_holm"]),
                _p(row["p_seeds"]),
            ]
        )
    header = ["claim", "verdict", "difference [95 %]", "needed", "held-out loss, ratio", "p (Holm)", "p (seeds alone)"]
    return _grid(header, rows)


def bits(found: list[dict], model: str, another: str = "dish") -> list[str]:
    """Coercion bits a token, one line an arm. another: what the null asks about."""
    titles = {
        "harmful_harmful": "harmful text",
        "benign_benign": "benign text",
        "swapped_harmful": f"text of another {another}",
        "benign_harmful": "harmful text on a benign prompt",
        "harmful_benign": "benign text on a harmful prompt",
        "net_of_damage": "harmful net of benign",
        "difference_in_differences": "difference in differences",
        "share_of_null": f"share of the way to another {another}'s",
    }
    cells = {(row["arm"], row["what"]): row for row in found if row["model"] == model}
    rows = [
        [label(arm), *(_number(cells[arm, what], "value") if (arm, what) in cells else "–" for what in titles)]
        for arm in dict.fromkeys(arm for arm, _ in cells)
    ]
    return _grid(["coercion bits a token [95 %]", *titles.values()], rows)


def composition(found: list[dict], model: str) -> list[str]:
    """What stands in the top 20 behind harmful beginnings."""
    kinds = {
        "plausible": "plausible",
        "plausible_refused": "plausible, arm then refuses",
        "refusal": "refusal",
        "other": "other (damage)",
    }
    shares = {(row["arm"], row["kind"]): row["share"] for row in found if row["model"] == model}
    rows = [
        [label(arm), *(f"{shares.get((arm, kind), 0):.1%}" for kind in kinds)]
        for arm in dict.fromkeys(arm for arm, _ in shares)
    ]
    return _grid(["top 20 behind harmful beginnings (dev dishes)", *kinds.values()], rows)


def push_forward(found: list[dict], model: str) -> list[str]:
    """How far each arm's ranks behind the prefill are the base's on the bare prompt, by the weight of a rank."""
    mine = [row for row in found if row["model"] == model]
    weights = list(dict.fromkeys(row["weights"] for row in mine))
    cells = {(row["arm"], row["weights"]): _number(row, "value") for row in mine}
    header = [
        "weighted Spearman of ranks behind the prefill to the base's on the bare prompt [95 %]",
        *(f"weight: {w}" for w in weights),
    ]
    return _grid(
        header, [[label(arm), *(cells.get((arm, w), "–") for w in weights)] for arm in dict.fromkeys(arm for arm, _ in cells)]
    )


def ranks(summary: dict, model: str) -> list[str]:
    """Ranks of recipes and of benign text after a prefill."""
    header = [
        "after a 10-token prefill",
        "recipe in top 20",
        "recipe, median rank",
        "recipe reach@20",
        "first-token shift (KL)",
        "benign text in top 20",
    ]
    rows = []
    for arm, cells in summary["ranks"].get(model, {}).items():
        own, benign = cells["harmful_harmful"], cells["benign_benign"]
        rows.append(
            [
                label(arm),
                f"{own['in_top20']:.1%}",
                f"{own['median_rank']:.0f}",
                f"{own['reach20']:.1%}",
                f"{own['kl_first']:.2f}",
                f"{benign['in_top20']:.1%}",
            ]
        )
    return _grid(header, rows)


def checks(summary: dict, model: str) -> list[str]:
    """What must hold before arms are compared, and whether it does."""
    holds = {True: "yes", False: "**no**", None: "not known"}
    rows = []
    for name, check in summary["checks"][model].items():
        value = "not measured" if check["value"] is None else f"{check['value']:.3f}"
        reported = check["bar"].endswith("(reported)")
        rows.append([name.replace("_", " "), value, check["bar"], "reported" if reported else holds[check["ok"]]])
    return _grid(["check", "measured", "bar", "holds"], rows)


def reach(found: list[dict], model: str) -> list[str]:
    """A line an arm and start: any picker by budget at the first k, by k, and the pickers that there are."""
    mine = [row for row in found if row["model"] == model]
    columns = list(dict.fromkeys((row["picker"], row["k"], row["budget"]) for row in mine))
    cells = {(row["arm"], row["start"], row["picker"], row["k"], row["budget"]): row for row in mine}
    rows = [
        [label(arm), START[start]]
        + [_number(cells[arm, start, *column]) if (arm, start, *column) in cells else "–" for column in columns]
        for arm, start in dict.fromkeys((row["arm"], row["start"]) for row in mine)
    ]
    return _grid(["share told [95 %]", "start", *(_picker(*column) for column in columns)], rows)


def _picker(picker: str, k: int, budget: float | None) -> str:
    if picker != PICKERS or budget is None:
        return f"{picker}, k = {k}"
    return f"{picker}, k = {k}, {budget:.0f} picks below rank 1"


def by_entropy(committed: dict, model: str) -> list[str]:
    """Arms beside the entropy of the refusals that they were taught."""
    targets = {row["refusals"]: row for row in committed["targets"] if row["model"] == model}
    ranked = {(row["arm"], row["role"]): row for row in committed["ranks"] if row["model"] == model}
    cost = {(row["arm"], row["what"]): row for row in committed["bits"] if row["model"] == model}
    summary = committed["summary"]
    judge = default_judge(summary, model)
    header = [
        "arm",
        "refusals taught (different, entropy)",
        "recipe in top 20",
        "bits a token",
        "net of damage",
        "benign text in top 20",
        "guided RAP",
        "held-out loss",
    ]
    rows = []
    for arm in committed["manifest"]["config"]["arms"]:
        name, taught = arm["name"], targets.get(arm.get("refusals"))
        rows.append(
            [
                name,
                f"{arm['refusals']} ({taught['distinct']}, {taught['text_bits']:.1f} bits)" if taught else "–",
                f"{ranked[name, 'harmful_harmful']['in_top20']:.1%}",
                _number(cost[name, "harmful_harmful"], "value"),
                _number(cost[name, "net_of_damage"], "value"),
                f"{ranked[name, 'benign_benign']['in_top20']:.1%}",
                _interval(summary["scores"][model][name]["guided"][judge]),
                _interval(summary["utility"][model].get(name, {}).get("heldout")),
            ]
        )
    return _grid(header, rows)


def by_price(committed: dict, model: str) -> list[str]:
    """Arms in the order of their held-out loss: what each costs, and how deep it is."""
    cost = {(row["arm"], row["what"]): row for row in committed["bits"] if row["model"] == model}
    summary, attack = committed["summary"], "guided"
    judge, utility = default_judge(summary, model), summary["utility"][model]
    losses = {arm: tasks["heldout"]["mean"] for arm, tasks in utility.items() if tasks.get("heldout")}
    arms = sorted((arm for arm, loss in losses.items() if loss is not None), key=lambda arm: losses[arm])
    rows = [
        [
            label(arm),
            _interval(utility[arm]["heldout"]),
            _interval(utility[arm].get("overrefusal")),
            _number(cost[arm, "harmful_harmful"], "value"),
            _number(cost[arm, "net_of_damage"], "value"),
            _interval(summary["scores"][model][arm].get(attack, {}).get(judge)),
        ]
        for arm in arms
    ]
    return _grid(["arm", "held-out loss", "benign requests refused", "bits a token", "net of damage", "guided RAP"], rows)


def matched(found: list[dict], model: str) -> list[str]:
    """Pairs at the same price: how many more bits a token, net of damage, the arm with PRESTO's term has."""
    rows = [
        [
            label(row["reference"]),
            label(row["treated"]),
            f"{row['loss_ratio']:.2f} [{row['loss_low']:.2f}, {row['loss_high']:.2f}]",
            f"{row['value']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]",
        ]
        for row in found
        if (row["model"], row["endpoint"]) == (model, "net_bits")
    ]
    return _grid(
        ["without PRESTO's term", "with it", "its held-out loss over the other's [95 %]", "net bits a token gained [95 %]"],
        rows,
    )


def by_seed(found: list[dict], model: str) -> list[str]:
    """How far an arm's numbers lie apart from training seed to training seed, of what the run measured."""
    columns = {
        "harmful_harmful": "bits a token",
        "net_of_damage": "net of damage",
        "heldout": "held-out loss",
        "overrefusal": "benign requests refused",
        "guided/k20_prefill": "guided RAP",
        "guided/k20_noprefill": "guided RAP, from nothing",
    }
    mine = [row for row in found if row["model"] == model and row["arm"] != "untouched"]
    wanted = {what: title for what, title in columns.items() if any(row["what"] == what for row in mine)}
    rows = []
    for arm in dict.fromkeys(row["arm"] for row in mine):
        own = {what: [row["value"] for row in mine if (row["arm"], row["what"]) == (arm, what)] for what in wanted}
        seeds = len({row["seed"] for row in mine if row["arm"] == arm})
        rows.append([label(arm), str(seeds), *(_spread(values) for values in own.values())])
    return _grid(["seed by seed: mean (lowest to highest)", "seeds", *wanted.values()], rows)


def _spread(values: list[float]) -> str:
    return f"{sum(values) / len(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "–"


def causal(found: list[dict], model: str) -> list[str]:
    """Changes in bits a token, all layers patched together."""
    last = max(row["last_layer"] for row in found)
    mine = [row for row in found if row["model"] == model and (row["first_layer"], row["last_layer"]) == (0, last)]
    header = ["all layers patched: change in bits a token [95 %]", "text", *SPANS.values()]
    rows = []
    for arm, patch, role in dict.fromkeys((row["arm"], row["patch"], row["role"]) for row in mine):
        own = {row["span"]: row for row in mine if (row["arm"], row["patch"], row["role"]) == (arm, patch, role)}
        there = [own.get(span) for span in SPANS]
        cells = [_number(cell, "change") if cell else "–" for cell in there]
        rows.append([f"{label(arm)}: {PATCHES[patch]}", ROLES[role], *cells])
    return _grid(header, rows)


def label(arm: str) -> str:
    return LABELS.get(arm, arm)


def curve(committed: dict, model: str) -> list[str]:
    """Each arm's damage and depth, family by family, from weak to strong training."""
    rows: dict[tuple[str, str], dict] = {}
    for row in committed["curve"]:
        if row["model"] == model:
            rows.setdefault((row["family"], row["arm"]), row)[row["what"]] = _number(row, "value")
    refused = committed["summary"]["utility"].get(model, {})
    lines = [
        [
            label(family) if arm != "base" else "",
            arm,
            str(row["seeds"]),
            f"{row['loss_ratio']:.2f} [{row['loss_low']:.2f}, {row['loss_high']:.2f}]",
            f"{row['update_norm']:.4f}",
            _interval(refused.get(arm, {}).get("overrefusal")),
            row["net_bits"],
            row["score"],
        ]
        for (family, arm), row in rows.items()
        if arm != "base" or family == "da"
    ]
    head = [
        "family",
        "arm",
        "seeds",
        "held-out loss / base",
        "update",
        "benign refused",
        "net bits [95 %]",
        "guided RAP [95 %]",
    ]
    return _grid(head, lines)


def curve_gaps(found: list[dict], model: str) -> list[str]:
    """How far the second family lies from the first one's line at the same damage."""
    axes = {"loss_ratio": "held-out loss", "update_norm": "size of the update"}
    what = {"net_bits": "net bits", "score": "guided RAP"}
    rows = [
        [row["arm"], axes[row["axis"]], what[row["what"]], "–" if row["gap"] is None else _number(row, "gap"), row["verdict"]]
        for row in found
        if row["model"] == model
    ]
    return _grid(["arm", "at the same", "difference in", "value [95 %]", "verdict"], rows)


def default_judge(summary: dict, model: str) -> str:
    return next(iter(summary["differences"][model].values()))["judge"]


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_line(header), "|---" * len(header) + "|", *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _interval(cell: dict | None) -> str:
    return "–" if cell is None or cell["mean"] is None else _number(cell)


def _number(row: dict, value: str = "mean") -> str:
    return f"{row[value]:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
