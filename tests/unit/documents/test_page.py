"""Documents in a real browser: read on a telephone, printed without a cut table, and nothing asked of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beampermit.documents.card import card_page
from beampermit.documents.facts import gather_facts
from beampermit.documents.inventory_page import inventory_page
from beampermit.documents.markdown import Markdown
from beampermit.documents.page import page as page_of
from beampermit.documents.runbook import runbook_page
from beampermit.documents.trials_page import trials_page
from beampermit.project import Project
from beampermit.verdicts.inventory import Entry, Finding, Inventory
from support.browser import browser
from support.planted_results import write
from support.studies import SPACE, large

__all__ = ["browser"]

PHONE, SHEET = {"width": 375, "height": 667}, {"width": 688, "height": 1010}
"""CSS pixels: a small telephone, and A4 less its margins."""
LONG = "A_very_long_name_without_any_place_to_break_it_" * 4
OVERFLOWING = """() => [document.scrollingElement, ...document.querySelectorAll('.table, pre, table, img')]
  .filter(one => one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > innerWidth + 1)
  .map(one => one.tagName + ' ' + one.className + ' ' + one.textContent.slice(0, 80))"""

CUT = """() => [...document.querySelectorAll('html, body *:not(svg *)')].filter(one => {
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  if (!one.clientWidth || style.display === 'inline') return box.right > innerWidth + 1 && !one.closest('.table, pre');
  const shadow = /auto|scroll/.test(style.overflowX) && style.backgroundImage.includes('gradient');
  return one.scrollWidth > one.clientWidth + 1 && !shadow || box.right > innerWidth + 1 && !one.closest('.table, pre');
}).map(one => one.tagName + ' ' + one.className + ' ' + one.textContent.slice(0, 80))"""
"""What is wider than its place, and is neither wrapped nor scrolled with a shadow at the edge."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return {}


@pytest.fixture
def pages(written: dict[str, str], contract_text: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """Card and runbook of a project with long words and a hostile one; made once, as they take half a second."""
    if not written:
        results = request.getfixturevalue("results")
        text = contract_text.replace("Look at its neighbours.", LONG).replace("{device}:{plane}:FAULT", f"{LONG}:FAULT")
        write(results, "contract.yaml", text.replace("The plane.", '"<img src=x onerror=document.title=1>"'))
        known = gather_facts(Project(results.root))
        written.update(card=card_page(known), runbook=runbook_page(known))
    return written


def opened(browser: Any, tmp_path: Path, text: str, size: dict[str, int]) -> tuple[Any, list[str]]:
    """The page from a file, and every address that it asked for beside its own."""
    file = tmp_path / "document.html"
    file.write_text(text)
    page, asked = browser.new_page(viewport=size), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    return page, [url for url in asked if url != file.as_uri() and not url.startswith("data:")]


@pytest.mark.parametrize("document", ["card", "runbook"])
def test_a_document_fits_a_telephone_and_asks_nothing_of_a_network(
    browser: Any, pages: dict[str, str], tmp_path: Path, document: str
) -> None:
    page, asked = opened(browser, tmp_path, pages[document], PHONE)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert asked == []
    assert page.title().startswith("bpm-faults: "), "a value of the contract has run"
    if document == "runbook":
        assert page.evaluate(OVERFLOWING) == [], "at 3 A.M. nobody scrolls a table sideways"


def spoiled_inventory() -> str:
    entry = Entry(
        project=f"https://{LONG}", model="injector-surrogate", state="in service", asked=True, status="SERVING"
    )
    finding = Finding(id="INV016", level="MAJOR", project=entry.project, message=LONG, next=f"git ls-remote {LONG}")
    return inventory_page(Inventory(at=0.0, entries=(entry,), findings=(finding,), unasked=(LONG,)))


def test_an_inventory_fits_a_telephone(browser: Any, tmp_path: Path) -> None:
    page, asked = opened(browser, tmp_path, spoiled_inventory(), PHONE)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert asked == []
    assert page.locator("h2").first.inner_text() == "What to do"


def test_nothing_is_cut_on_a_telephone_a_tablet_or_a_desk(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    many = " | ".join(f"a_column_{number}" for number in range(30))
    wide = Markdown(f"| {many} |\n{'|---' * 30}|\n| {many} |\n\n```\n{LONG * 3}\n```\n")
    documents = {**pages, "inventory": spoiled_inventory(), "wide": page_of(wide, "wide")}
    for name, text in documents.items():
        page, _ = opened(browser, tmp_path, text, PHONE)
        for width in (360, 480, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(CUT) == [], (name, width)


def test_rows_of_a_table_stack_below_480_pixels_with_the_names_of_their_columns(browser: Any, tmp_path: Path) -> None:
    text = "| | metric | gate |\n|---|---|--:|\n| ✅ | auc | ≥ 0.97 |\n\n| | |\n|---|---|\n| Call | 4711 |\n"
    page, _ = opened(browser, tmp_path, page_of(Markdown(text), "metrics"), {"width": 481, "height": 800})
    look = """() => [...document.querySelectorAll('td')].map(
      one => [getComputedStyle(one).display, getComputedStyle(one, '::before').content, one.textContent])"""
    across = page.evaluate(look)
    assert {display for display, _, _ in across} == {"table-cell"}
    assert {before for _, before, _ in across} == {"none"}
    page.set_viewport_size({"width": 480, "height": 800})
    icon, metric, gate, call, number = page.evaluate(look)
    assert (icon[:2], metric) == (["block", "none"], ["block", "none", "auc"])
    assert gate == ["block", '"gate: "', "≥ 0.97"]
    assert {call[0], number[0]} == {"table-cell"}, "a table without a head has names already"
    page.emulate_media(media="print")
    assert page.evaluate(look) == across, "a narrow sheet of paper"


def test_a_study_fits_a_telephone_and_is_drawn_in_the_colours_of_the_page(browser: Any, tmp_path: Path) -> None:
    study = large(40, several=True).model_copy(update={"space": {**SPACE, LONG: {"choice": [LONG]}}})
    page, asked = opened(browser, tmp_path, trials_page(study), PHONE)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert asked == []
    assert page.get_by_role("img").count() == 3, "front, importance, parameters; each has a name to be read aloud"
    inks = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        inks.add(page.evaluate("getComputedStyle(document.querySelector('.drawn text')).fill"))
        sizes = page.evaluate("[...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect().width)")
        assert all(300 < width <= PHONE["width"] for width in sizes)
    assert len(inks) == 2


def test_whom_to_call_and_the_way_back_stand_on_the_first_screen(
    browser: Any, pages: dict[str, str], tmp_path: Path
) -> None:
    page, _ = opened(browser, tmp_path, pages["runbook"], PHONE)
    assert page.locator("h2").first.bounding_box()["y"] < PHONE["height"]
    shown = page.locator("table").first.inner_text()
    assert "+1 555 0100" in shown
    assert "beampermit rollback" in shown


@pytest.mark.parametrize("document", ["card", "runbook"])
def test_on_paper_no_table_is_cut(browser: Any, pages: dict[str, str], tmp_path: Path, document: str) -> None:
    page, _ = opened(browser, tmp_path, pages[document], SHEET)
    page.emulate_media(media="print")
    assert page.evaluate(OVERFLOWING) == []
    assert page.pdf(format="A4", prefer_css_page_size=True).startswith(b"%PDF")
