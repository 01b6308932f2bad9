"""The page in a real browser, from the file system: everything renders, nothing is fetched, choices and steps work, downloads have the tables' bytes."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from presto_bench.report.page import build

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def run(tmp_path_factory, root):
    """Results folder of a finished tiny run."""
    from conftest import once
    from project import Project

    return once(tmp_path_factory, "finished", lambda folder: Project(root, folder).run("--cores", "2")) / "results/tiny"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    assert CHROMIUM, "no Chromium: apt-get install chromium, or name one in $CHROMIUM"
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(run, browser):
    """The opened page; it ends with what the browser complained of and what it asked the network for: nothing."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    opened, complaints, asked = context.new_page(), [], []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url) if request.url.startswith(("http", "ws")) else None)
    opened.goto((run / "report/index.html").as_uri())
    opened.wait_for_selector("#chart-scores svg")
    opened.wait_for_selector(".dt-container")
    yield opened
    assert not complaints and not asked
    context.close()


def test_sections_pictures_and_tables_render_and_the_first_screen_holds_the_answer(page, run):
    for place in ("scores", "requests", "steps", "ranks", "bits", "attention", "training", "provenance"):
        assert page.locator(f"h2#{place}").count() == 1
    assert page.locator(".chart svg").count() >= 5
    assert page.locator("section.first").bounding_box()["y"] < 300
    assert page.locator(".checks li").count() > 5
    folder = Path(os.environ.get("SCREENSHOTS", run / "report"))
    page.screenshot(path=folder / "page.png")
    assert (folder / "page.png").stat().st_size > 20_000


def test_a_mark_opens_to_what_the_check_means(page):
    first = page.locator(".checks details").first
    assert not first.locator("p").is_visible()
    first.locator("summary").click()
    assert "Measured:" in first.locator("p").inner_text()


def test_a_choice_changes_a_figure(page):
    before = page.locator("#chart-ranks svg").inner_html()
    page.locator("#chart-ranks input[type=radio]").nth(1).check()
    page.wait_for_function("before => document.querySelector('#chart-ranks svg').innerHTML !== before", arg=before)


def test_the_step_view_steps_and_shows_what_was_picked(page):
    lists = page.locator("#list-right li.candidate")
    assert lists.count() >= 20 and page.locator("#list-right li.picked").count() == 1
    said, told = page.locator("#said-right").inner_text(), page.locator("#step-told").inner_text()
    assert said == "" and told.startswith("1 of ")
    page.locator("#step-number").fill("3")
    assert page.locator("#step-told").inner_text().startswith("3 of ")
    assert page.locator("#said-right").inner_text() != ""


def test_a_table_is_searched_and_sorted(page):
    search = page.locator("#table-requests_wrapper input[type=search], .dt-container:has(#table-requests) input").first
    rows = page.locator("#table-requests tbody tr")
    before = rows.count()
    search.fill("no such request anywhere")
    page.wait_for_function("() => document.querySelectorAll('#table-requests tbody tr').length <= 1")
    search.fill("")
    page.wait_for_function("n => document.querySelectorAll('#table-requests tbody tr').length === n", arg=before)


def test_a_download_has_the_csvs_bytes(page, run, tmp_path):
    with page.expect_download() as waiting:
        page.locator("a[download='scores.csv']").click()
    waiting.value.save_as(tmp_path / "scores.csv")
    theirs, ours = (pd.read_csv(path, keep_default_na=False) for path in (tmp_path / "scores.csv", run / "tables/scores.csv"))
    pd.testing.assert_frame_equal(theirs, ours, check_dtype=False)


TREE = [(1, 0, "bread", True), (2, 1, "salt", True), (3, 2, "nail", False), (4, 1, "flour", True)]


@pytest.fixture
def searched(tmp_path, browser):
    """A page with the steps of one search: two picks, one of them taken back for another."""
    from test_page import found

    rows = [
        ("autorap", "m", "da", "p1", step, 1, text, "plausible", 0.5, picked, depth, 0.0 if text == "nail" else 1.0)
        for step, depth, text, picked in TREE
    ]
    (tmp_path / "index.html").write_text(build.html(found(show=True, steps=rows)), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    opened.goto((tmp_path / "index.html").as_uri())
    opened.wait_for_selector("#list-left li.candidate")
    yield opened
    opened.close()


def test_a_search_that_took_tokens_back_is_a_tree_and_the_text_follows_it(searched):
    tree = searched.locator("#tree-left")
    assert tree.get_attribute("aria-label") == "search tree: 3 picks on 2 branches, 2 kept"
    assert tree.locator("path").count() == 3 and tree.locator("path.kept").count() == 2
    texts = {}
    for number in (1, 2, 3, 4):
        searched.locator("#step-number").fill(str(number))
        texts[number] = searched.locator("#said-left").text_content()
    assert texts == {1: "", 2: "bread", 3: "breadsalt", 4: "bread"}
    searched.locator("#step-number").fill("3")
    assert "taken back" in searched.locator("#list-left li").first.text_content()
    assert searched.locator("#list-left .verdict").first.text_content() == "✗"
