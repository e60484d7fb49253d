"""The pictures of the documents: their sizes are those that the script takes, and each stands on a page."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts/pictures"
BOB = """<display version="2.0.0"><widget type="{kind}"><name>a</name><x>20</x><y>40</y><width>110</width>
<height>20</height><text>a &lt; b</text><pv_name>B1:FAULT</pv_name></widget></display>"""


def sizes() -> dict[str, tuple[int, int]]:
    tree = ast.parse((SCRIPT / "__main__.py").read_text(encoding="utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    return ast.literal_eval(assigned["SIZES"])


@pytest.mark.parametrize("name", sizes())
def test_a_picture_has_the_size_that_the_script_gives_it_and_a_page_shows_it(name: str) -> None:
    content = (ROOT / f"docs/images/{name}.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == sizes()[name]
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = rf"!\[[^\]]{{20,}}\]\((docs/)?images/{name}\.png\)"
    assert [page.name for page in pages if re.search(shown, page.read_text(encoding="utf-8"))], name


def test_every_picture_is_made_by_the_script() -> None:
    assert {file.stem for file in (ROOT / "docs/images").iterdir()} == set(sizes())


@pytest.mark.parametrize(
    ("kind", "severity", "drawn"),
    [
        ("textupdate", 0, '<div class="textupdate" style="left:20px;top:40px;width:110px;height:20px">0.95</div>'),
        ("textupdate", 2, "box-shadow:0 0 0 2px rgb(255,0,0)"),
        ("label", 0, "a &lt; b"),
    ],
)
def test_a_widget_is_drawn_where_the_screen_has_it_with_the_border_of_its_alarm(
    kind: str, severity: int, drawn: str
) -> None:
    screen: dict[str, Any] = runpy.run_path(str(SCRIPT / "screen.py"))
    shown = screen["Shown"]("0.95", severity)
    assert drawn in screen["page_of"](BOB.format(kind=kind), {"B1:FAULT": shown})
    assert "&lt;B1:FAULT&gt;" in screen["page_of"](BOB.format(kind="textupdate"), {}), "a PV that nobody has"
