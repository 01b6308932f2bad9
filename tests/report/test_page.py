"""The page: nothing that it is given can become markup, what is missing is said, and no text stands on it that must not."""

import base64
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presto_bench.report.page import build, charts, sections, text
from presto_bench.report.page.charts import Shown

ARMS = ("base", "da", "da_presto")
CANARY = "zanzibar cardamom buns"


def tables(arms=ARMS, model="m"):
    """The tables of a small finished run."""
    cell = {"mean": 0.4, "low": 0.3, "high": 0.5, "n": 12, "missing": 0}
    scores = [
        {"model": model, "arm": arm, "attack": attack, "variant": variant, "judge": "standin", **cell}
        for arm in arms
        for attack, variant in (("direct", "sampled"), ("guided", "k20_prefill"), ("guided", "k20_prefill_swapped"))
    ]
    utility = [{"model": model, "arm": arm, "task": "heldout", **cell} for arm in arms]
    curves = [
        {"model": model, "arm": a, "role": "harmful_harmful", "k": k, "in_top": 0.5, "reach": 0.1}
        for a in arms
        for k in (1, 20)
    ]
    bits = [
        {"model": model, "arm": a, "role": "harmful_harmful", "position": p, "bits": 2.0 * p, "n": 5}
        for a in arms
        for p in range(4)
    ]
    checks = [
        {"model": model, "name": "base_refuses_first_token", "value": 1.0, "bar": ">= 0.95", "ok": True},
        {"model": model, "name": "base_guided_score", "value": 0.1, "bar": ">= 0.3", "ok": False},
        {"model": model, "name": "splits_disjoint", "value": None, "bar": "0", "ok": None},
    ]
    frames = {"scores": scores, "utility": utility, "rank_curves": curves, "bits_curves": bits, "checks": checks}
    return {name: pd.DataFrame(rows) for name, rows in frames.items()}


def found(frames=None, show=False, texts=None, steps=None, requests=None):
    shown = Shown(
        tables() if frames is None else frames,
        ["base", "DA", "DA + PRESTO"],
        "standin",
        {"direct": "direct", "guided": "guided", "heldout": "answer_loss"},
        ("guided", "k20_prefill"),
        texts=texts or {},
    )
    rows = [("m", arm, "p1", 0.5, 0.1, 0.4, 2.5, "1 7 900") for arm in ARMS]
    own = pd.DataFrame(rows, columns=["model", "arm", "prompt_id", "refused", "prefilling", "rap", "bits", "ranks"])
    columns = [
        "attack",
        "model",
        "arm",
        "prompt_id",
        "step",
        "rank",
        "token",
        "kind",
        "probability",
        "picked",
        "depth",
        "harmful",
    ]
    empty = pd.DataFrame(columns=columns)
    return build.Found(
        "mine",
        shown,
        ["m: guided RAP gets 0.40 [0.30, 0.50] from DA"],
        own if requests is None else requests,
        empty if steps is None else pd.DataFrame(steps, columns=columns),
        {"git": {"commit": "abc"}, "versions": {"torch": "2"}},
        {},
        show,
    )


STEPS = [("guided", "m", "da", "p1", 1, rank, f" {CANARY}", "plausible", 0.1, rank == 2, 0, None) for rank in range(1, 21)]


class Reader(HTMLParser):
    """Tags and visible text of a page. scripts: how many there are."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.visible, self.ids, self.links, self.skip = [], [], set(), [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        own = dict(attrs)
        self.ids |= {own["id"]} if "id" in own else set()
        self.links += [own["href"]] if "href" in own else []
        self.skip = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.skip = False if tag in ("script", "style") else self.skip

    def handle_data(self, data):
        if not self.skip:
            self.visible.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.visible).split())


def test_the_first_screen_has_question_answer_checks_and_what_is_missing():
    page = Reader(build.html(found()))
    for said in (
        "survive an attacker who may pick from ranks 2 to 20?",
        "guided RAP gets 0.40 [0.30, 0.50] from DA",
        "✓ holds",
        "✗ fails",
        "? not known",
        "What was not measured",
        "Against the paper",
    ):
        assert said in page.text
    assert page.text.index("✗ fails") < page.text.index(
        "Claims and verdicts" if "Claims and verdicts" in page.text else "Mean grade of what"
    )


def test_scores_have_a_menu_for_each_choice_that_there_is():
    """Of one judge, one k and one start there is nothing to choose."""
    few = charts.spec(charts.scores(found().shown))
    assert [menu["name"] for menu in few["params"] if "bind" in menu] == ["choice_attack"]
    rows = tables()["scores"]
    more = [rows, rows.assign(judge="rubric"), rows[rows["variant"] == "k20_prefill"].assign(variant="k5_noprefill")]
    many = charts.spec(charts.scores(found(frames=tables() | {"scores": pd.concat(more)}).shown))
    menus = {menu["name"]: menu for menu in many["params"] if "bind" in menu}
    assert list(menus) == ["choice_attack", "choice_judge", "choice_k", "choice_start"]
    assert menus["choice_k"]["bind"]["options"] == ["all", "20", "5"] and menus["choice_judge"]["value"] == "standin"


def test_every_section_has_an_address_and_every_link_inside_leads_somewhere():
    page = Reader(build.html(found()))
    wanted = {
        "scores",
        "ranks",
        "bits",
        "top20",
        "attention",
        "training",
        "price",
        "claims",
        "fidelity",
        "provenance",
        "requests",
        "steps",
    }
    assert wanted <= page.ids
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert not [link for link in page.links if not link.startswith(("#", "data:"))]


def test_a_section_without_tables_says_which_target_makes_them():
    page = Reader(build.html(found(frames={})))
    assert page.text.count("Not run.") >= 9 and "snakemake grade" in page.text


def test_it_asks_no_network():
    """Addresses inside the libraries are names and licences: nothing is loaded from them (the browser test sees that nothing is)."""
    page = re.sub(r"(<script[^>]*>).*?</script>", r"\1</script>", build.html(found()), flags=re.DOTALL)
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="(?!data:)', page)


def test_a_download_has_the_tables_bytes():
    page = Reader(build.html(found()))
    links = [link for link in page.links if link.startswith("data:text/csv;base64,")]
    frames = [pd.read_csv(io.BytesIO(base64.b64decode(link.partition(",")[2]))) for link in links]
    (scores,) = [frame for frame in frames if {"attack", "variant", "mean"} <= set(frame.columns)]
    pd.testing.assert_frame_equal(scores, tables()["scores"], check_dtype=False)


def test_texts_stand_on_it_only_where_they_may():
    texts = {"p1": f"How do I make {CANARY}?"}
    shown, hidden = (build.html(found(show=show, texts=texts if show else {}, steps=STEPS)) for show in (True, False))
    assert CANARY in Reader(shown).text and f" {CANARY}" in shown
    assert CANARY not in hidden and "plausible" in hidden


def test_steps_say_where_tokens_were_taken_back_and_what_the_helper_thought():
    rows = [
        ("autorap", "m", "da", "p1", 1, 1, "a", "other", 0.5, True, 0, 1.0),
        ("autorap", "m", "da", "p1", 2, 1, "b", "other", 0.5, False, 1, 0.0),
        ("autorap", "m", "da", "p1", 3, 2, "c", "plausible", 0.1, True, 0, None),
    ]
    shown = found(show=True, steps=rows)
    data = sections.steps(shown.steps, shown.shown, True)
    assert data["data"]["autorap"]["m: DA"]["p1"] == [
        [0, [[1, "a", 0.5, "other", 1, 1]]],
        [1, [[1, "b", 0.5, "other", 0, 0]]],
        [0, [[2, "c", 0.1, "plausible", 1]]],
    ]


def test_steps_of_attacks_that_do_not_fit_are_left_out_by_name():
    second = [("autorap", *row[1:]) for row in STEPS]
    shown = found(show=True, steps=[*STEPS, *second])
    one = len(str(sections.steps(shown.steps[shown.steps["attack"] == "guided"], shown.shown, True)))
    kept, left_out = sections.within(shown.steps, shown.shown, True, one + 200)
    assert [name for name, _ in kept["attacks"]] == ["guided"] and left_out == ["AutoRAP"]
    assert sections.within(shown.steps, shown.shown, True, 10)[0]["requests"] == []


def test_too_many_requests_are_left_to_the_download_and_the_page_stays_small():
    rows = [
        (f"m{m}", f"arm{a}", f"p{p}", 0.5, 0.1, 0.4, 2.5, "1 7 900 3 4 5")
        for m in range(20)
        for a in range(8)
        for p in range(313)
    ]
    many = pd.DataFrame(rows, columns=["model", "arm", "prompt_id", "refused", "prefilling", "rap", "bits", "ranks"])
    page = build.html(found(requests=many))
    assert "50080 rows are too many for a page" in page and len(page) < 5_000_000


NASTY = st.text(min_size=1).map(lambda s: f"<script>alert(1)</script>{s}</td></table>\u202e\x07&amp;")


@settings(max_examples=40)
@given(NASTY)
def test_whatever_stands_in_a_cell_is_text(nasty):
    frames = tables(arms=(nasty,), model=nasty)
    before = Reader(build.html(found(frames=tables())))
    page = build.html(
        found(
            frames=frames,
            show=True,
            texts={"p1": nasty},
            steps=[(nasty, "m", "da", "p1", 1, 1, nasty, "other", 0.5, True, 0, None)],
        )
    )
    after = Reader(page)
    assert set(after.tags) <= set(before.tags) | {"input", "output", "select", "label", "ol", "p", "code", "polyline", "svg"}
    assert "alert(1)" not in "".join(re.findall(r"<script>alert\(1\)", page))
    assert "\u202e" not in page and "\x07" not in page


@given(st.text(), st.integers(0, 3))
def test_no_control_character_and_no_mark_of_direction_survives(content, times):
    said = text.safe(content * (10**times))
    assert len(said) <= 8 * text.LONGEST + 60
    assert not [
        c for c in said if (ord(c) < 32 and c not in "\n\t") or 0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069
    ]


def test_a_cell_of_half_a_megabyte_is_cut_and_says_so():
    assert sections.cell("x" * 500_000).endswith("… (500000 characters)")


@pytest.mark.parametrize(
    ("ranks", "told"), [("1 1 1", "median rank 1, largest 1"), ("3 900 7", "median rank 7, largest 900"), ("", None)]
)
def test_a_line_of_ranks_says_what_it_shows(ranks, told):
    line = sections.sparkline(ranks or float("nan"))
    assert line is None if told is None else line["told"] == told and len(line["points"].split()) == 3
