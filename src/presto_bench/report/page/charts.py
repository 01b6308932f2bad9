"""Interactive pictures of the page, as Vega-Lite: colours stay with arms, words are those of the tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import pandas as pd

from presto_bench.report import words
from presto_bench.report.figures import style

MOST_ROWS = 20000  # of one picture's data
WIDTH = 560
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-right", "triangle-left")


@dataclass(frozen=True)
class Shown:
    """What the page is about: tables by name, arms in the config's order (as labels), the default judge, kinds of attacks and tasks, rap's attack and variant."""

    tables: Mapping[str, pd.DataFrame]
    arms: Sequence[str]
    judge: str
    kinds: Mapping[str, str]
    rap: tuple[str, str]
    headline: tuple[str, str] = ("da", "da_presto")
    texts: Mapping[str, str] = field(default_factory=dict)

    def table(self, name: str) -> pd.DataFrame:
        """A table with arms as people call them; empty where it was not made."""
        found = self.tables.get(name, pd.DataFrame())
        return found.assign(arm=found["arm"].map(style.label)) if "arm" in found.columns else found


Chart = Callable[[Shown], alt.TopLevelMixin | None]


ALL = "all"


def answer(shown: Shown) -> alt.TopLevelMixin | None:
    """The figure of the first screen: what the main attacks reach on each arm."""
    rows = _of_default_judge(shown)
    if rows.empty:
        return None
    first = rows["variant"] == rows.groupby("attack")["variant"].transform("first")
    rows = rows[first]
    return _intervals(shown, rows, rows["what"], "mean score (less is safer)", [0, 1])


def scores(shown: Shown) -> alt.TopLevelMixin | None:
    """Every variant of one attack; the reader chooses attack, k, where responses begin, and judge, as far as there is a choice."""
    rows = _scores(shown)
    if rows.empty:
        return None
    names = list(dict.fromkeys(rows["attack_in_words"]))
    preferred = next((name for name in rows.loc[rows["attack"] == shown.rap[0], "attack_in_words"]), names[0])
    menus = [_Menu("attack", "attack_in_words", names, preferred)]
    judges = list(dict.fromkeys([shown.judge, *rows["judge"]]))
    menus += [_Menu("judge", "judge", judges, judges[0])] if len(judges) > 1 else []
    for name in ("k", "start"):
        values = [value for value in dict.fromkeys(rows[name]) if value != "–"]
        menus += [_Menu(name, name, [ALL, *values], ALL)] if len(values) > 1 else []
    keep = " && ".join(menu.keeps for menu in menus)
    chart = _intervals(shown, rows, rows["what"], "mean score (less is safer)", [0, 1], keep)
    return chart.add_params(*(menu.parameter for menu in menus)) if chart is not None else None


@dataclass(frozen=True)
class _Menu:
    """A choice of the reader's. name: of the choice, field: the column that it keeps rows by; ALL keeps every row."""

    name: str
    field: str
    options: Sequence[str]
    first: str

    @property
    def parameter(self) -> alt.Parameter:
        bound = alt.binding_select(options=list(self.options), name=f"{self.name}: ")
        return alt.param(f"choice_{self.name}", bind=bound, value=self.first)

    @property
    def keeps(self) -> str:
        return f"(choice_{self.name} == '{ALL}' || datum.{self.field} == choice_{self.name})"


def ranks(shown: Shown) -> alt.TopLevelMixin | None:
    """Share of a text's tokens, and of whole texts, within the k likeliest."""
    rows = shown.table("rank_curves")
    if rows.empty:
        return None
    rows = rows.assign(text=rows["role"].map(words.role))
    measure = alt.param(
        "share",
        bind=alt.binding_radio(options=["in_top", "reach"], labels=["tokens", "whole texts"], name="share of "),
        value="in_top",
    )
    text, keep = _choice("text", rows["text"])
    return _by_arm(
        alt.Chart(_small(rows))
        .transform_filter(keep)
        .transform_calculate(value="datum[share]")
        .mark_line(point=True)
        .encode(
            x=alt.X("k:Q", scale=alt.Scale(type="log"), title="k: the attacker picks from so many ranks"),
            y=alt.Y("value:Q", scale=alt.Scale(domain=[0, 1]), title="share within the k likeliest"),
            detail="model:N",
            tooltip=["model:N", "arm:N", "text:N", "k:Q", alt.Tooltip("value:Q", format=".3f")],
        )
        .add_params(measure, text),
        shown,
    )


def bits(shown: Shown) -> alt.TopLevelMixin | None:
    """Bits spent up to each depth."""
    rows = shown.table("bits_curves")
    if rows.empty:
        return None
    rows = rows.assign(text=rows["role"].map(words.role), tokens=rows["position"] + 1)
    text, keep = _choice("text", rows["text"])
    return _by_arm(
        alt.Chart(_small(rows))
        .transform_filter(keep)
        .mark_line()
        .encode(
            x=alt.X("tokens:Q", title="tokens behind the prefill"),
            y=alt.Y("bits:Q", title="bits spent, in all"),
            detail="model:N",
            tooltip=["model:N", "arm:N", "tokens:Q", alt.Tooltip("bits:Q", format=".2f"), "n:Q"],
        )
        .add_params(text),
        shown,
    )


def top20(shown: Shown) -> alt.TopLevelMixin | None:
    """What stands in the 20 likeliest tokens, by what each leads to."""
    rows = shown.table("composition")
    if rows.empty:
        return None
    places = {kind: place for place, kind in enumerate(words.KINDS)}
    rows = rows.assign(leads_to=rows["kind"].map(words.KINDS), place=rows["kind"].map(places))
    chart = (
        alt.Chart(_small(rows))
        .mark_bar()
        .encode(
            y=alt.Y("arm:N", sort=list(shown.arms), title=None),
            x=alt.X(
                "share:Q", stack="zero", scale=alt.Scale(domain=[0, 1]), title="share of tokens behind a harmful beginning"
            ),
            color=alt.Color(
                "leads_to:N",
                scale=alt.Scale(domain=list(words.KINDS.values()), range=["#0072b2", "#d55e00", "#e69f00", "#999999"]),
                title=None,
            ),
            order=alt.Order("place:Q"),
            tooltip=["model:N", "arm:N", "leads_to:N", alt.Tooltip("share:Q", format=".2f"), "n:Q"],
        )
    )
    return _per_model(chart.properties(width=WIDTH), rows)


def attention(shown: Shown) -> alt.TopLevelMixin | None:
    """Attention that response tokens pay to the prefill, by layer."""
    rows = shown.table("attention")
    if rows.empty:
        return None
    rows = rows.groupby(["model", "arm", "layer"], sort=False, as_index=False)["mass"].mean()
    return _by_arm(
        alt.Chart(_small(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("layer:Q", title="layer"),
            y=alt.Y("mass:Q", title="attention on the prefill, mean over heads"),
            detail="model:N",
            tooltip=["model:N", "arm:N", "layer:Q", alt.Tooltip("mass:Q", format=".4f")],
        ),
        shown,
    )


def training(shown: Shown) -> alt.TopLevelMixin | None:
    """Losses of every optimiser step, part by part."""
    rows = shown.table("training")
    parts = [
        name
        for name in ("cross_entropy", "presto", "kl", "transition", "gradient_norm")
        if name in rows and rows[name].notna().any()
    ]
    if rows.empty or not parts:
        return None
    long = rows.melt(["model", "arm", "seed", "step"], parts, "part", "value").dropna(subset="value")
    long["part"] = long["part"].str.replace("_", " ")
    part, keep = _choice("part", long["part"])
    return _by_arm(
        alt.Chart(_small(long))
        .transform_filter(keep)
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="optimiser step"),
            y=alt.Y("value:Q", title="value"),
            detail=["model:N", "seed:N"],
            tooltip=["model:N", "arm:N", "seed:N", "step:Q", alt.Tooltip("value:Q", format=".3f")],
        )
        .add_params(part),
        shown,
    )


def price(shown: Shown) -> alt.TopLevelMixin | None:
    """What safety costs: held-out loss against the score under the rank attack."""
    utility, rows = shown.table("utility"), _of_default_judge(shown)
    losses = [task for task, kind in shown.kinds.items() if kind == "answer_loss"]
    if utility.empty or rows.empty or not losses:
        return None
    loss = utility[utility["task"] == losses[0]][["model", "arm", "mean"]].rename(columns={"mean": "loss"})
    rap = rows[(rows["attack"] == shown.rap[0]) & (rows["variant"] == shown.rap[1])]
    both = rap.merge(loss, on=["model", "arm"])
    if both.empty:
        return None
    points = alt.Chart(_small(both)).encode(
        x=alt.X("loss:Q", scale=alt.Scale(zero=False), title="loss on held-out benign answers (nats a token; less is better)"),
        y=alt.Y("mean:Q", scale=alt.Scale(domain=[0, 1]), title=f"score under {words.attack(shown.rap[0], shown.kinds)}"),
        color=_colour(shown),
        shape=_shape(shown),
        tooltip=["model:N", "arm:N", alt.Tooltip("loss:Q", format=".3f"), alt.Tooltip("mean:Q", format=".3f")],
    )
    bars = points.mark_rule().encode(y="low:Q", y2="high:Q", shape=alt.Undefined)
    return (bars + points.mark_point(size=90, filled=True)).properties(width=WIDTH, height=320)


def _scores(shown: Shown) -> pd.DataFrame:
    """Score rows that are no greedy responses, with words beside names."""
    rows = shown.table("scores")
    if rows.empty:
        return rows
    rows = rows[~rows["variant"].str.startswith("greedy") & rows["arm"].isin(list(shown.arms))]
    told = [words.attack(name, shown.kinds) for name in rows["attack"]]
    what = [words.attacked(name, variant, shown.kinds) for name, variant in zip(rows["attack"], rows["variant"], strict=True)]
    choices = pd.DataFrame([words.k_and_start(name) for name in rows["variant"]], columns=["k", "start"], index=rows.index)
    return rows.assign(attack_in_words=told, what=what, **choices)


def _of_default_judge(shown: Shown) -> pd.DataFrame:
    rows = _scores(shown)
    return rows if rows.empty else rows[rows["judge"] == shown.judge]


def _intervals(
    shown: Shown, rows: pd.DataFrame, places: pd.Series, title: str, domain: Sequence[float], keep: str | None = None
) -> alt.TopLevelMixin | None:
    """Means with intervals, arms side by side at each place."""
    base = alt.Chart(_small(rows))
    base = base.transform_filter(keep) if keep else base
    base = base.encode(
        y=alt.Y(
            "what:N",
            sort=list(dict.fromkeys(places)),
            title=None,
            axis=alt.Axis(labelLimit=320, labelPadding=10, domain=False, ticks=False),
        ),
        yOffset=alt.YOffset("arm:N", sort=list(shown.arms)),
        color=_colour(shown),
        tooltip=[
            "model:N",
            "arm:N",
            "what:N",
            *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("mean", "low", "high")),
            "n:Q",
        ],
    )
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", scale=alt.Scale(domain=list(domain)), title=title), x2="high:Q"
    )
    points = base.mark_point(size=70, filled=True, opacity=1).encode(x="mean:Q", shape=_shape(shown))
    step = 16 * max(len(shown.arms), 2)
    return _per_model(
        (bars + points).properties(width=WIDTH - 160, height=alt.Step(step / max(len(shown.arms), 1), **{"for": "offset"})),
        rows,
    )


def _per_model(chart: Any, rows: pd.DataFrame) -> alt.TopLevelMixin:
    """The same once a model, where there are several."""
    if rows["model"].nunique() < 2:
        return chart
    return chart.facet(row=alt.Row("model:N", title=None, sort=list(dict.fromkeys(rows["model"]))))


def _by_arm(chart: alt.Chart, shown: Shown) -> alt.TopLevelMixin:
    return chart.encode(color=_colour(shown), shape=_shape(shown)).properties(width=WIDTH, height=300)


def _colour(shown: Shown) -> alt.Color:
    arms = list(shown.arms)
    colours = [style.COLOURS[place % len(style.COLOURS)] for place in range(len(arms))]
    return alt.Color(
        "arm:N",
        scale=alt.Scale(domain=arms, range=colours),
        title=None,
        legend=_legend(),
    )


def _shape(shown: Shown) -> alt.Shape:
    arms = list(shown.arms)
    return alt.Shape(
        "arm:N",
        scale=alt.Scale(
            domain=arms, range=[SHAPES[(place + place // len(SHAPES)) % len(SHAPES)] for place in range(len(arms))]
        ),
        title=None,
        legend=_legend(),
    )


def _legend() -> alt.Legend:
    """The same for colour and shape, so that they are one."""
    return alt.Legend(orient="top", columns=4, labelLimit=200)


def _choice(column: str, values: pd.Series) -> tuple[alt.Parameter, str]:
    """A menu over a column's values, the first one chosen, and the filter that follows it."""
    options = list(dict.fromkeys(values))
    return alt.param(
        column, bind=alt.binding_select(options=options, name=f"{column}: "), value=options[0]
    ), f"datum.{column} == {column}"


def _small(rows: pd.DataFrame) -> pd.DataFrame:
    """At most so many rows, evenly taken: a page is looked at, and the table has them all."""
    return rows if len(rows) <= MOST_ROWS else rows.iloc[:: -(-len(rows) // MOST_ROWS)]


def spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """A picture as its Vega-Lite specification, with the data inside."""
    alt.data_transformers.disable_max_rows()
    styled = chart.configure(font="system-ui, sans-serif").configure_axis(
        labelFontSize=12, titleFontSize=12, gridColor="#e5e5e5"
    )
    return styled.configure_view(stroke=None).configure_legend(labelFontSize=12, symbolSize=90).to_dict()
