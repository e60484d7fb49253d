"""Pages are laid out for the site: links follow, diagrams are drawn, and what has no place is refused by its name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from support.markdown_pages import ROOT

NAV = '[project]\nnav = ["index.md", {{ "All" = ["contributing.md", "a.md", "deep/b.md", "decisions/"{more}] }}]\n'


@pytest.fixture(scope="module")
def docs_site() -> Any:
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "scripts/docs_site.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "README.md": "# Home\n",
        "CONTRIBUTING.md": "# Contributing\n\n## Here\n",
        "src/code.py": "",
        "docs/a.md": "# A\n",
        "docs/deep/b.md": "# B\n",
        "docs/runner.yaml": "",
        "docs/decisions/0001-one.md": "# 1. One\n",
        "docs/decisions/0002-two.md": "# 2. Two\n",
        "zensical.toml": NAV.format(more=""),
    }
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("name", "place", "link", "laid_out"),
    [
        ("README.md", "index.md", "docs/a.md", "a.md"),
        ("README.md", "index.md", "docs/deep/b.md#x", "deep/b.md#x"),
        ("README.md", "index.md", "CONTRIBUTING.md", "contributing.md"),
        ("docs/a.md", "a.md", "../CONTRIBUTING.md#here", "contributing.md#here"),
        ("docs/a.md", "a.md", "../README.md", "index.md"),
        ("docs/a.md", "a.md", "deep/b.md", "deep/b.md"),
        ("docs/a.md", "a.md", "decisions", "decisions/index.md"),
        ("docs/a.md", "a.md", "runner.yaml", "runner.yaml"),
        ("docs/a.md", "a.md", "#here", "#here"),
        ("docs/a.md", "a.md", "https://epics.example/a.md", "https://epics.example/a.md"),
        ("docs/a.md", "a.md", "../src/code.py", "https://github.com/beampermit/beampermit/blob/main/src/code.py"),
        ("docs/a.md", "a.md", "../src", "https://github.com/beampermit/beampermit/tree/main/src"),
        ("docs/deep/b.md", "deep/b.md", "../a.md", "../a.md"),
        ("docs/deep/b.md", "deep/b.md", "../../CONTRIBUTING.md", "../contributing.md"),
    ],
)
def test_links_follow(
    docs_site: Any, root: Path, tmp_path: Path, name: str, place: str, link: str, laid_out: str
) -> None:
    (root / name).write_text(f"# Title\n\n[words]({link}) `[code]({link})`\n\n```\n[fenced]({link})\n```\n")
    docs_site.lay_out(tmp_path / "out", root)
    text = (tmp_path / "out/pages" / place).read_text()
    assert f"[words]({laid_out}) " in text
    assert f"`[code]({link})`" in text
    assert f"[fenced]({link})" in text


def test_code_in_a_table_has_the_same_signs_on_either(docs_site: Any, root: Path, tmp_path: Path) -> None:
    (root / "docs/a.md").write_text("# A\n\n| `<rich\\|json>` | `a` |\n|---|---|\n")
    docs_site.lay_out(tmp_path / "out", root)
    assert "| <code>&lt;rich&#124;json&gt;</code> | `a` |" in (tmp_path / "out/pages/a.md").read_text()


def test_a_link_to_nothing_is_refused(docs_site: Any, root: Path, tmp_path: Path) -> None:
    (root / "docs/a.md").write_text("[words](gone.md)\n")
    with pytest.raises(SystemExit, match=r"docs/a\.md links to gone\.md, and there is no docs/gone\.md"):
        docs_site.lay_out(tmp_path / "out", root)


@pytest.mark.parametrize("outside", ["../../shared", "../..", "{root}", "../src/../../shared/x.md"])
def test_a_link_out_of_the_repository_is_refused(docs_site: Any, root: Path, tmp_path: Path, outside: str) -> None:
    (root.parent / "shared").mkdir()
    (root.parent / "shared/x.md").write_text("x\n")
    (root / "docs/a.md").write_text(f"[words]({outside.format(root=root)})\n")
    with pytest.raises(SystemExit, match=r"docs/a\.md links to .*, which is outside the repository"):
        docs_site.lay_out(tmp_path / "out", root)


def test_a_page_that_nobody_finds_is_refused(docs_site: Any, root: Path, tmp_path: Path) -> None:
    (root / "docs/lost.md").write_text("# Lost\n")
    with pytest.raises(SystemExit, match=r"zensical\.toml: nav has no lost\.md; add each"):
        docs_site.lay_out(tmp_path / "out", root)


def test_a_part_of_nav_without_a_page_is_refused(docs_site: Any, root: Path, tmp_path: Path) -> None:
    (root / "zensical.toml").write_text(NAV.format(more=', "gone.md"'))
    with pytest.raises(SystemExit, match=r"zensical\.toml: nav names gone\.md, which docs/ has not"):
        docs_site.lay_out(tmp_path / "out", root)


def test_a_page_with_two_places_is_refused(docs_site: Any, root: Path, tmp_path: Path) -> None:
    (root / "zensical.toml").write_text(NAV.format(more=', "a.md"'))
    with pytest.raises(SystemExit, match=r"zensical\.toml: nav has a\.md twice"):
        docs_site.lay_out(tmp_path / "out", root)


def test_decisions_are_listed_and_each_is_in_nav(docs_site: Any, root: Path, tmp_path: Path) -> None:
    docs_site.lay_out(tmp_path / "out", root)
    listed = (tmp_path / "out/pages/decisions/index.md").read_text()
    assert "- [1. One](0001-one.md)\n- [2. Two](0002-two.md)\n" in listed
    nav = (tmp_path / "out/zensical.toml").read_text()
    assert '["decisions/index.md", "decisions/0001-one.md", "decisions/0002-two.md"]' in nav


def test_a_diagram_is_a_picture_that_its_labels_describe(docs_site: Any, root: Path, tmp_path: Path) -> None:
    (root / "docs/a.md").write_text('# A\n\n```mermaid\nflowchart LR\n    a["code <i>x</i>"] --> b{"good?"}\n```\n')
    docs_site.lay_out(tmp_path / "out", root)
    text = (tmp_path / "out/pages/a.md").read_text()
    assert 'alt="Diagram: code &lt;i&gt;x&lt;/i&gt;; good?"' in text
    (picture,) = (tmp_path / "out/pages/diagrams").iterdir()
    assert f'src="diagrams/{picture.name}"' in text
    assert picture.read_text().startswith("<svg ")


def test_what_a_page_would_load_from_another_host_is_its_copy(docs_site: Any, tmp_path: Path) -> None:
    page = '<script src="https://unpkg.com/iframe-worker/shim"></script>'
    laid = docs_site._with_copies(page, tmp_path / "decisions", tmp_path)
    assert laid == '<script src="../javascripts/iframe-worker.js"></script>'
    assert (ROOT / "docs/javascripts/iframe-worker.js").is_file()
