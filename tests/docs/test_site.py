"""The documentation site is built, every page of it is found, and nothing of it leads nowhere or to another host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.markdown_pages import ROOT, anchors, links
from support.shared import made_once, shared_folder

LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
    "video": "src",
    "audio": "src",
}
"""What a browser fetches by itself; an `a` is only followed."""


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.followed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.ids |= {given[key] for key in ("id", "name") if key in given}
        if tag in LOADED and LOADED[tag] in given:
            self.loaded.append(given[LOADED[tag]])
        self.loaded += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        if tag == "a" and "href" in given:
            self.followed.append(given["href"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def build(folder: Path) -> None:
        command = [sys.executable, ROOT / "scripts/docs_site.py", "--out", folder / "site"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return made_once(shared_folder(tmp_path_factory) / "docs-site", build) / "site"


@pytest.fixture(scope="session")
def built(site: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}


@pytest.mark.slow
def test_nothing_of_the_site_is_loaded_from_another_host(site: Path, built: dict[Path, Page]) -> None:
    elsewhere = {address for page in built.values() for address in page.loaded if urlsplit(address).netloc}
    assert not elsewhere, "an air-gapped laboratory does not see these: a copy belongs into docs/"
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert "@import" not in text, sheet.name
        assert not [part for part in text.split("url(")[1:] if part.lstrip("'\"").startswith(("http", "//"))]


@pytest.mark.slow
def test_every_link_of_the_site_leads_to_a_file_and_an_anchor_of_it(built: dict[Path, Page]) -> None:
    dead = [f"{file.name}: {address}" for file, address in _inner(built) if not _there(file, address, built)]
    assert not dead


def _inner(built: dict[Path, Page]) -> Iterator[tuple[Path, str]]:
    for file, page in built.items():
        for address in [*page.loaded, *page.followed]:
            if not urlsplit(address).scheme:
                yield file, address


def _there(file: Path, address: str, built: dict[Path, Page]) -> bool:
    parts = urlsplit(address)
    target = Path(os.path.normpath(file.parent / unquote(parts.path))) if parts.path else file
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return False
    return not parts.fragment or target not in built or unquote(parts.fragment) in built[target].ids


@pytest.mark.slow
def test_links_to_other_hosts_are_complete_addresses(built: dict[Path, Page]) -> None:
    for page in built.values():
        for address in page.followed:
            parts = urlsplit(address)
            assert parts.scheme in ("", "https", "mailto"), address
            assert parts.scheme != "https" or "." in parts.netloc, address


@pytest.mark.slow
def test_every_page_is_there_and_can_be_searched(site: Path) -> None:
    searched = {item["location"].partition("#")[0] for item in json.loads((site / "search.json").read_text())["items"]}
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (site / place).is_file(), place
        assert place in searched
    assert (site / "search.js").is_file(), "where there is no server, a page cannot read JSON"
    for place in ("index.html", "contributing.html", "changes.html", "security.html", "decisions/index.html"):
        assert (site / place).is_file(), place


@pytest.mark.slow
def test_diagrams_are_drawn(site: Path) -> None:
    page = (site / "architecture.html").read_text(encoding="utf-8")
    assert "flowchart" not in page
    drawn = [address for address in Page(page).loaded if address.startswith("diagrams/")]
    assert len(drawn) == 3
    assert r"\|" not in (site / "commands.html").read_text(encoding="utf-8"), "a sign of tables is none in code"
    for address in drawn:
        assert (site / address).read_text(encoding="utf-8").startswith("<svg ")


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], ids=lambda page: page.stem)
def test_every_anchor_that_a_page_names_is_a_heading_on_github(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.relative_to(ROOT)} links to {target}"


@pytest.mark.parametrize(
    ("planted", "loaded"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', True),
        ('<img src="a.png" srcset="https://cdn.example/b.png 2x">', True),
        ('<a href="https://epics.example/">EPICS</a>', False),
        ('<img src="images/report.png">', False),
    ],
)
def test_what_a_browser_loads_is_told_from_what_it_follows(planted: str, loaded: bool) -> None:
    assert any(urlsplit(address).netloc for address in Page(planted).loaded) is loaded


@pytest.mark.parametrize(
    ("address", "there"),
    [
        ("b.html", True),
        ("b.html#here", True),
        ("b.html#gone", False),
        ("#top", True),
        ("#gone", False),
        ("gone.html", False),
        ("folder", False),
        ("picture.svg", True),
    ],
)
def test_a_dead_link_is_seen(tmp_path: Path, address: str, there: bool) -> None:
    files = {"a.html": '<h1 id="top">A</h1>', "b.html": '<a name="here"></a>', "picture.svg": "<svg/>"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    built = {file: Page(file.read_text()) for file in tmp_path.glob("*.html")}
    assert _there(tmp_path / "a.html", address, built) is there
