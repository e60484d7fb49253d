"""The pages of docs/ that are made from the code are what the code says now."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.cli.main import PANELS
from beampermit.errors import BeampermitError
from beampermit.live.epics.definitions import LIMIT_FIELDS, of_outputs
from beampermit.live.limits import Limits
from beampermit.live.status_pvs import STATUS_PVS
from beampermit.live.wiring import wire
from support.markdown_pages import ROOT
from support.paths import module_at
from support.served import served_contract

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


def test_every_field_that_a_contract_gives_an_output_is_told(tmp_path: Path, contract_text: str, made: Path) -> None:
    (tmp_path / "devices.csv").write_text("device\nB1\n")
    wiring = wire(served_contract(contract_text), tmp_path)
    told = re.findall(r"\b[A-Z]{3,4}\b", (made / "pvs.md").read_text().partition("## Status")[0])
    for definition in of_outputs(wiring, Limits(wiring)):
        assert definition.fields.keys() <= set(told), definition.name


WORKFLOW = """\
# What it does,
# in two lines.
#
# And a paragraph.
name: Planted
on: {{workflow_call: {{inputs: {{a: {{type: string, default: "x|y", description: "Such as <this>"}}}}}}}}
{permissions}
jobs:
  one:
    permissions:
      contents: read # to check out
  two: {{}}
"""


@pytest.mark.parametrize(
    ("permissions", "of_two"),
    [("", "those of the caller's job"), ("permissions: {}", "none"), ("permissions: read-all", "read-all")],
)
def test_a_workflow_says_what_its_caller_must_know(
    tmp_path: Path, permissions: str, of_two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/workflows/ml-planted.yml").write_text(WORKFLOW.format(permissions=permissions))
    monkeypatch.syspath_prepend(ROOT / "scripts/reference")
    page = module_at(ROOT / "scripts/reference/actions_page.py").page(tmp_path)
    assert "### ml-planted.yml\n\nWhat it does, in two lines.\n\nAnd a paragraph.\n" in page
    assert "| `a` | `x\\|y` | Such as &lt;this&gt; |" in page
    assert "| `one` | `contents: read` to check out |" in page
    assert f"| `two` | {of_two} |" in page
