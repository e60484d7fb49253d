"""Commands of the documents are typed as they stand: tutorials in an empty folder, other pages in a trained project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.project import Project
from support.forked_commands import executable
from support.markdown_pages import ROOT
from support.shown_commands import Block, blocks

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = {page: [block for block in blocks(page) if block.runs] for page in PAGES}
TUTORIALS = [page for page in RUN if page.name.startswith("tutorial-") and RUN[page]]
OTHERS = [page for page in RUN if page not in TUTORIALS and RUN[page]]


def _type(block: Block, folder: Path, programs: Path, state: Path) -> None:
    """Run a block as a shell does that one types into: the next begins where this one ended."""
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    begin = f"cd {state.read_text() if state.exists() else folder}\nset -eo pipefail\n"
    end = f"trap 'pwd > {state}' EXIT\n"
    typed = subprocess.run(
        ["bash", "-c", begin + end + block.script],
        env={**os.environ, "PATH": path, "COLUMNS": "120", "PWD": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    where = f"{block.page.relative_to(ROOT)}:{block.line}"
    assert typed.returncode == block.exit_code, f"{where}\n{typed.stdout}\n{typed.stderr}"
    assert "Traceback" not in typed.stderr, f"{where}\n{typed.stderr}"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    executable(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_works_from_an_empty_folder(page: Path, tmp_path: Path, programs: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for block in RUN[page]:
        _type(block, folder, programs, tmp_path / "state")


@pytest.mark.slow
@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.stem)
def test_what_a_page_types_in_a_project_works(
    page: Path, trained_copy: Project, tmp_path: Path, programs: Path
) -> None:
    for block in RUN[page]:
        _type(block, trained_copy.root, programs, tmp_path / "state")
