"""Pages that are made from the code are the ones the code makes, and the README's commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from beampermit.cli.main import app
from beampermit.contract.reference import contract_reference
from beampermit.interlocks import runner
from beampermit.interlocks.reference import interlock_reference

ROOT = Path(__file__).parents[1]


def test_the_page_on_the_contract_is_what_the_models_say() -> None:
    made = contract_reference()
    assert (ROOT / "docs/contract.md").read_text() == made, "beampermit contract reference > docs/contract.md"


def test_the_page_on_interlocks_is_what_the_classes_say() -> None:
    made = interlock_reference(runner.load().values())
    assert (ROOT / "docs/interlocks.md").read_text() == made, (
        "beampermit check --list --format markdown > docs/interlocks.md"
    )


def test_every_link_in_the_documents_leads_to_a_file() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_command_that_the_documents_name_exists() -> None:
    from typer.main import get_command

    known = set(get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue]
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        named = set(re.findall(r"`beampermit ([a-z]+)", page.read_text()))
        assert named <= known, f"{page.relative_to(ROOT)} names {sorted(named - known)}"
