"""Owners whom GitHub does not know own nothing."""

from __future__ import annotations

from typing import Any

import pytest

from beampermit.errors import Outside
from beampermit.github.client import Client
from beampermit.github.codeowners import CodeOwners
from beampermit.github.owners import OwnerError, OwnerErrors, load_owner_errors
from beampermit.interlocks.repository.ownership import unknown_owners_gap
from support.github_server import says
from support.github_setup import of
from support.github_stand_in import GitHub, Token


def error(line: int, source: str, owner: str = "", kind: str = "Unknown owner") -> dict[str, Any]:
    return {"line": line, "column": source.index(owner) + 1, "kind": kind, "source": source, "message": "", "path": "x"}


def gap(text: str, *errors: dict[str, Any]) -> str:
    found = OwnerErrors(tuple(OwnerError.model_validate(one) for one in errors))
    return unknown_owners_gap(CodeOwners("CODEOWNERS", text), found, ["contract.yaml", "docs/a.md"])


@pytest.mark.parametrize(
    ("text", "errors", "said"),
    [
        ("* @ada @gone\n", [error(1, "* @ada @gone", "@gone")], ""),
        ("* @gone\n", [error(1, "* @gone", "@gone")], "owner of contract.yaml, docs/a.md; CODEOWNERS: line 1"),
        ("* @ada\n/contract.yaml @lab/gone\n", [error(2, "/contract.yaml @lab/gone", "@lab/gone")], "contract.y"),
        ("* @ada\r\n/docs @x\r\n", [error(2, "/docs @x", "@x")], "no owner of docs/a.md;"),
        # The line is skipped, so the one before counts.
        ("* @ada\n/docs @x y@\n", [error(2, "/docs @x y@", "y@", kind="Invalid owner")], ""),
        ("/docs @x y@\n/contract.yaml @ada", [error(1, "/docs @x y@", "y@", kind="Invalid owner")], "docs/a.md"),
        # What GitHub read is another file than this one.
        ("* @ada\n", [error(1, "* @gone", "@gone")], ""),
        ("* @ada\n", [error(7, "* @gone", "@gone")], ""),
        # Without an owner before: that is another gap.
        ("/docs @ada\n", [error(1, "/docs @ada", "@ada")], "no owner of docs/a.md;"),
    ],
)  # fmt: skip
def test_a_file_whose_owners_are_all_unknown_has_none(text: str, errors: list[dict[str, Any]], said: str) -> None:
    found = gap(text, *errors)
    assert said in found if said else found == ""


def test_an_address_is_said_to_work_for_few() -> None:
    found = gap("* ada@lab.example\n", error(1, "* ada@lab.example", "ada@lab.example"))
    assert "line 1: ada@lab.example is unknown to GitHub, or may not write to the repository; an address works" in found
    assert "an address works" not in gap("* @gone\n", error(1, "* @gone", "@gone"))


def test_what_cannot_be_seen_is_not_seen_and_no_answer_is_no_answer(github: GitHub) -> None:
    client = Client(github.repository, "s3cret", github.url, lambda _: None)
    of(github).owner_errors = [error(1, "* @gone", "@gone")]
    found = load_owner_errors(client, "main")
    assert found is not None
    assert [str(one) for one in found.errors] == [
        "line 1: @gone is unknown to GitHub, or may not write to the repository"
    ]
    assert github.asked[-1].query == {"ref": "main"}
    github.tokens["s3cret"] = Token(rights=frozenset({"metadata:read"}))
    assert load_owner_errors(client) is None
    github.next(says(200, {"errors": "none"}))
    assert load_owner_errors(client) is None
    github.next(*[says(502)] * 5)
    with pytest.raises(Outside):
        load_owner_errors(client)
    github.next(says(403, {"message": "secondary rate limit"}, retry_after="900"))
    with pytest.raises(Outside, match="asks to wait"):
        load_owner_errors(client)
