"""The pages of docs/ that are made from the code are what the code says now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.cli.main import PANELS
from beampermit.errors import BeampermitError
from beampermit.live.epics.definitions import LIMIT_FIELDS
from beampermit.live.status_pvs import STATUS_PVS
from support.markdown_pages import ROOT

PAGES = ("commands.md", "actions.md", "pvs.md", "exit-codes.md")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    done = subprocess.run([sys.executable, ROOT / "scripts/reference", folder], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(made: Path, name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == (made / name).read_text(), "python scripts/reference"


def test_nothing_is_missing(made: Path) -> None:
    """Whatever the pages are made by: what users can name is on them."""
    commands, actions, pvs, codes = ((made / name).read_text() for name in PAGES)
    for names in PANELS.values():
        for name in names:
            assert f"### beampermit {name}\n" in commands
    for file in [*ROOT.glob("actions/*/action.yml"), *ROOT.glob(".github/workflows/ml-*.yml")]:
        assert f"### {f'actions/{file.parent.name}' if file.name == 'action.yml' else file.name}\n" in actions
    for status in STATUS_PVS:
        assert f"| `{status.name}` |" in pvs
    for field, severity in LIMIT_FIELDS.values():
        assert f"| {field}, {severity} |" in pvs
    for kind in BeampermitError.__subclasses__():
        assert f"| {kind.exit_code} |" in codes
