"""Every command of a document can be typed: the real command takes its words, and a test runs it or it says why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from beampermit.cli.main import app
from beampermit.errors import BeampermitError
from support.markdown_pages import ROOT
from support.shown_commands import Block, blocks, calls, unseen

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_HERE = {"curl", "docker", "gh", "helm", "kubectl", "pip", "podman", "sbatch", "ssh", "sudo", "systemctl"}
"""Programs that no test may start as a document types them."""
COMMAND: Any = get_command(app)
BLOCKS = [block for page in PAGES for block in blocks(page)]


def _name(block: Block) -> str:
    return f"{block.page.relative_to(ROOT)}:{block.line}"


def _beampermit(block: Block) -> Iterator[list[str]]:
    for command in block.commands:
        yield from (words[1:] for words in calls(command) if words[0] == "beampermit")


def test_every_command_stands_in_a_fence_that_is_looked_at() -> None:
    """Fences of `console`, `sh` or `bash`: of others nobody knows whether their commands work."""
    assert [line for page in PAGES for line in unseen(page)] == []


@pytest.mark.parametrize("block", BLOCKS, ids=_name)
def test_the_command_takes_what_a_document_types(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in _beampermit(block):
        fault = _fault(words)
        assert not fault, f"{_name(block)}: beampermit {' '.join(words)}: {fault}"


def _fault(words: list[str]) -> str:
    """Why the command refuses the words before it does anything; nothing where it takes them."""
    command: Any = COMMAND
    words = list(words)
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            return ""
        if words[0] not in command.commands:
            return f"there is no {words[0]}"
        command = command.commands[words.pop(0)]
    try:
        command.make_context("", words)
    except BeampermitError:  # of a project, which is not here
        return ""
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["check", "DAT004"], ""),
        (["check", "--formt", "json"], "No such option: --formt"),
        (["check", "--format", "xml"], "'xml' is not one of"),
        (["chek"], "there is no chek"),
        (["env", "lok"], "there is no lok"),
        (["rollback", "--to", "7"], "Missing parameter: reason"),
        (["rollback", "--reason", "x", "y"], "unexpected extra argument"),
    ],
)
def test_what_the_command_would_refuse_is_a_fault(words: list[str], fault: str) -> None:
    assert fault in _fault(words)
    assert bool(fault) == bool(_fault(words))


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.run_by], ids=_name)
def test_the_tests_that_a_document_names_run_these_commands(block: Block) -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in block.run_by]
    for words in _beampermit(block):
        assert any(_typed(_names(words), text) for text in texts), (
            f"{_name(block)}: {' '.join(block.run_by)} does not run beampermit {' '.join(_names(words))}"
        )


def _names(words: list[str]) -> list[str]:
    """Of the command: `env lock` of `env lock --update numpy`."""
    command: Any = COMMAND
    for depth, word in enumerate(words):
        if not hasattr(command, "commands"):
            return words[:depth]
        command = command.commands.get(word)
    return words


def _typed(names: list[str], test: str) -> bool:
    """Whether a test types them: the last as a word of its own, for `env` may be what a function of the test adds."""
    *groups, name = map(re.escape, names)
    groups_named = all(re.search(rf"\b{group}\b", test) for group in groups)
    return groups_named and re.search(rf"""["'\s]{name}["'\s]""", test) is not None


def test_where_a_command_is_not_run_the_reason_is_a_sentence() -> None:
    for block in BLOCKS:
        if block.not_run:
            assert len(block.not_run.split()) >= 3, _name(block)
        assert block.commands, _name(block)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.runs], ids=_name)
def test_what_needs_another_machine_says_so(block: Block) -> None:
    programs = {words[0] for command in block.commands for words in calls(command)}
    assert not programs & NOT_HERE, (
        f"{_name(block)}: write <!-- not run: why --> or <!-- run by tests/... --> in the line above the block"
    )
