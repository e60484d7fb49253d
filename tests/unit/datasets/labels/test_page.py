"""The labelling page, in a real browser and against hostile requests."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from beampermit.datasets.labels import queue
from beampermit.datasets.labels.page import Server
from beampermit.datasets.labels.queue import Queue
from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from support.annotations import saved
from support.browser import browser

__all__ = ["browser"]

ROW = ("a02-1", "BPM.2", "Y")


@pytest.fixture
def server(dvc_project: Project) -> Iterator[Server]:
    """The page of the project's raw table, for Bo."""
    with Server(Queue.of(dvc_project, "raw", "Bo")) as found:
        thread = threading.Thread(target=found.serve, daemon=True)
        thread.start()
        yield found
        found.close()
        thread.join()


# In a browser


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The page, opened; anything that it writes to the console as an error fails the test."""
    errors: list[str] = []
    found = browser.new_page(viewport={"width": 1280, "height": 800})
    found.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.goto(server.url)
    found.wait_for_selector("#values button")
    yield found
    found.close()
    assert [error for error in errors if "status of 400" not in error] == []


@pytest.mark.slow
def test_rows_are_labelled_with_the_keyboard_and_survive_a_reload(page: Any, dvc_project: Project) -> None:
    page.wait_for_selector("canvas")
    assert page.inner_text("#who") == "Bo"
    assert page.inner_text("#count") == "1 of 24 · 0 of 24 labelled by me"
    first = page.inner_text("#key").split()[1::2]
    page.keyboard.press("w")
    page.keyboard.type('seen, in the "tunnel"')
    page.keyboard.press("Enter")
    page.keyboard.press("?")
    page.keyboard.press("1")
    page.wait_for_selector("#note.good")
    assert page.inner_text("#count") == "1 of 23 · 1 of 24 labelled by me", "the next one that is open"
    assert saved(dvc_project)[-1] == ("Bo", " ".join(first), "true")
    last = (dvc_project.root / "labels/reviewed.csv").read_text().splitlines()[-1]
    assert last.endswith(',"seen, in the ""tunnel""",0.5')
    page.reload()
    page.wait_for_selector("canvas")
    assert page.inner_text("#count") == "1 of 23 · 1 of 24 labelled by me"
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#count").startswith("2 of 23")
    page.keyboard.press("2")
    page.wait_for_selector("#note.good")
    page.keyboard.press("u")
    page.locator("#count", has_text="of 24 ·").wait_for()
    page.keyboard.press("1")
    page.locator("#note", has_text=": true, saved").wait_for()
    assert [value for by, _, value in saved(dvc_project)] == ["true", "true", "false", "true"]


@pytest.mark.slow
def test_a_label_that_cannot_be_saved_is_reported_and_the_row_stays(page: Any, dvc_project: Project) -> None:
    page.wait_for_selector("canvas")
    file = dvc_project.root / "labels/reviewed.csv"
    file.write_text("something,else\n")
    page.keyboard.press("1")
    page.wait_for_selector("#note.bad")
    assert "not saved: labels/reviewed.csv:1: this table has no column" in page.inner_text("#note")
    assert page.inner_text("#count") == "1 of 24 · 0 of 24 labelled by me"
    assert file.read_text() == "something,else\n"


@pytest.mark.slow
def test_a_hostile_value_is_shown_as_text(page: Any, dvc_project: Project) -> None:
    with (dvc_project.root / "labels/reviewed.csv").open("a") as stream:
        stream.write(
            "a01-0,BPM.1,X,true,<img src=x onerror=alert(1)>,2026-02-01T10:00:00Z,<script>alert(2)</script>,1\n"
        )
    page.reload()
    page.wait_for_selector("canvas")
    page.select_option("#show", "overruled")
    page.select_option("#show", "all")
    for _ in range(24):
        page.keyboard.press("ArrowRight")
    assert page.locator("img, #annotations script").count() == 0


CUT = """() => [...document.querySelectorAll('html, body *')].filter(one => one.clientWidth &&
  (one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > innerWidth + 1))
  .map(one => one.tagName + ' ' + one.id + ' ' + one.textContent.slice(0, 40))"""
LENGTHEN = """long => { for (const where of ['#title', '#values button', '#key dt', '#key dd', '#file'])
  document.querySelector(where).append(long) }"""


@pytest.mark.slow
def test_on_a_telephone_long_names_and_values_wrap_and_nothing_is_cut(page: Any) -> None:
    page.wait_for_selector("canvas")
    page.evaluate(LENGTHEN, "A_name_without_any_place_to_break_it_" * 4)
    for width in (360, 480, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("() => new Promise(requestAnimationFrame)")
        assert page.evaluate(CUT) == [], width


# Over the wire


def ask(server: Server, path: str = "state", body: Any = None, **headers: str) -> tuple[int, Any]:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=10)
    home = {"Host": address.netloc, "Content-Type": "application/json"} | (
        {"Origin": f"http://{address.netloc}"} if body is not None else {}
    )
    sent = {name.replace("_", "-"): value for name, value in {**home, **headers}.items() if value}
    text = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
    target = path if path.startswith("/") else f"{address.path}{path}"
    connection.request("GET" if body is None else "POST", target, text, sent)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if answer.headers["Content-Type"] == "application/json" else content


WORD = {"row": 3, "value": "true", "why": "", "confidence": 1}


def test_the_page_needs_nothing_from_outside(server: Server) -> None:
    status, content = ask(server, "")
    assert status == 200
    assert b"http" not in content.replace(b"<!doctype html>", b"")
    assert b"{{nonce}}" not in content


def test_a_label_is_on_the_disk_when_the_request_returns(server: Server, dvc_project: Project) -> None:
    status, answer = ask(server, "label", WORD)
    assert (status, answer["annotations"][0]["by"]) == (200, "Bo")
    assert saved(dvc_project)[-1][::2] == ("Bo", "true")
    assert dvc_project.git("status", "--porcelain") == " M labels/reviewed.csv"


STRANGERS: dict[str, dict[str, str]] = {
    "another site": {"Origin": "https://evil.example"},
    "no origin": {"Origin": ""},
    "null origin": {"Origin": "null"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "rebound name": {"Host": "evil.example:80"},
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_label_from_another_page_is_refused(server: Server, dvc_project: Project, stranger: str) -> None:
    before = saved(dvc_project)
    assert ask(server, "label", WORD, **STRANGERS[stranger])[0] == 403
    assert saved(dvc_project) == before


@pytest.mark.parametrize("path", ["/", "/state", "/x/state", "/%00/state", "/../state", "//"])
def test_nothing_is_served_without_the_token(server: Server, path: str) -> None:
    assert ask(server, path)[0] == 404
    assert ask(server, f"{urlsplit(server.url).path}page.html")[0] == 404


def test_another_host_name_or_origin_is_refused(server: Server) -> None:
    assert ask(server, Host="evil.example")[0] == 403
    assert ask(server, Origin="https://evil.example")[0] == 403


WRONG: dict[str, tuple[Any, str]] = {
    "not JSON": (b"{", "not JSON"),
    "no number": (b'{"row": 3, "value": "true", "why": "", "confidence": NaN}', "NaN is not a JSON number"),
    "too much": (b"x" * 20_000, "at most 16384 bytes"),
    "another key": ({**WORD, "by": "Ada"}, "a label must have exactly the fields row, value, why, confidence"),
    "another kind": ({**WORD, "row": "3"}, "row has the wrong type"),
    "no such row": ({**WORD, "row": 999}, "there is no row 999"),
    "no such value": ({**WORD, "value": "maybe"}, "faulty 'maybe' is none of true, false"),
    "too sure": ({**WORD, "confidence": 2}, "confidence 2 is not a number from 0 to 1"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_invalid_label_is_refused_with_the_reason(server: Server, dvc_project: Project, kind: str) -> None:
    body, message = WRONG[kind]
    before = saved(dvc_project)
    status, answer = ask(server, "label", body)
    assert status == 400
    assert message in answer["error"]
    assert saved(dvc_project) == before


def test_signals_are_served_by_row_and_values_that_are_not_finite_are_null(
    server: Server, dvc_project: Project, alter: Callable[..., None]
) -> None:
    status, answer = ask(server, "signals?rows=3,4,x,99999999999999999999999,-1,77777")
    assert (status, sorted(answer)) == (200, ["3", "4"])
    assert answer["3"]["turns"] == {"unit": "mm", "range": [-20, 20], "values": [0.5, -1.0, 2.0, 3.0]}
    alter("../raw", "* REPLACE ([1, 'nan'::FLOAT, 2, NULL] AS turns)")
    assert ask(server, "signals?rows=3")[1]["3"]["turns"]["values"] == [1.0, None, 2.0, None]


@pytest.mark.slow
def test_the_queue_needs_a_person_a_table_and_its_data(dvc_project: Project) -> None:
    assert Queue.of(dvc_project, "train", None).who == "Ada Operator"
    with pytest.raises(BadInput, match="there is no table 'tests'; there are raw, train"):
        Queue.of(dvc_project, "tests", "Bo")
    (dvc_project.root / "data/raw.parquet").unlink()
    with pytest.raises(Failed, match=r"data/raw.parquet is missing"):
        Queue.of(dvc_project, "raw", "Bo")


def test_batches_cover_all_rows_and_say_so(dvc_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MOST", 10)
    batches = [Queue.of(dvc_project, "raw", "Bo", number) for number in (1, 2, 3)]
    rows = [row["row"] for batch in batches for row in batch.state()["rows"]]
    assert sorted(rows) == list(range(24))
    assert batches[0].batch_note == "batch 1, rows 1 to 10 of 24, least certain first; --batch 2 has the next"
    assert batches[2].state()["batch"] == "batch 3, rows 21 to 24 of 24, least certain first"
    with pytest.raises(BadInput, match="raw has no batch 4"):
        Queue.of(dvc_project, "raw", "Bo", 4)
    monkeypatch.setattr(queue, "MOST", 24)
    assert Queue.of(dvc_project, "raw", "Bo").batch_note == "", "all rows: nothing to say"


@pytest.mark.slow
def test_the_page_shows_which_batch_it_is(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(queue, "MOST", 10)
    page = request.getfixturevalue("page")
    assert page.inner_text("#batch") == "batch 1, rows 1 to 10 of 24, least certain first; --batch 2 has the next"
    assert page.inner_text("#count") == "1 of 10 · 0 of 10 labelled by me"
