"""CODEOWNERS is read as GitHub reads it: what it skips protects nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.errors import Failed
from beampermit.github.codeowners import CodeOwners
from beampermit.interlocks.repository.ownership import Ownership


def lines(text: str, *paths: str) -> list[tuple[str, int | None]]:
    return [(one.path, one.line) for one in CodeOwners("CODEOWNERS", text).uncovered(paths)]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("* @ada", "contract.yaml"),
        ("* ada@lab.example", ".github/workflows/a.yml"),
        ("* @lab/physicists", "deep/down/file"),
        ("/.github/ @ada", ".github/workflows/a.yml"),
        (".github/** @ada", ".github/rulesets/main.json"),
        ("/.dvc/config @ada", ".dvc/config"),
        ("*.lock @ada # the locks", "uv.lock"),
        ("/*conda-lock.yml @ada", "cuda.conda-lock.yml"),
        ("contract.yaml @ada\n!contract.yaml\n", "contract.yaml"),
        ("contract.yaml @ada\n[c]ontract.yaml\n", "contract.yaml"),
        ("* @ada\n!important.lock\n", "!important.lock"),
        ("* @ada\r\n", "contract.yaml"),
        ("* @ada\n/contract.yaml\u00a0\n", "contract.yaml"),
        ("*\t@ada\n", "contract.yaml"),
    ],
)
def test_a_path_with_an_owner_is_covered(text: str, path: str) -> None:
    assert lines(text, path) == []


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("", "contract.yaml", None),
        ("# * @ada", "contract.yaml", None),
        ("/docs/ @ada", "contract.yaml", None),
        ("* @ada\n/contract.yaml", "contract.yaml", 2),
        ("* @ada\n\n/.github/workflows/", ".github/workflows/a.yml", 3),
        ("* @ada\n/contract.yaml # @ada decides\n", "contract.yaml", 2),
        ("* @ada\n/contract.yaml nobody\n", "contract.yaml", 2),
        ("/.github/* @ada", ".github/workflows/a.yml", None),
        ("!* @ada", "contract.yaml", None),
        ("[c]ontract.yaml @ada", "contract.yaml", None),
        ("/CONTRACT.yaml @ada", "contract.yaml", None),
        ("* @ada\r\n/contract.yaml\r\n", "contract.yaml", 2),
    ],
)
def test_the_last_line_that_matches_counts_and_is_named(text: str, path: str, line: int | None) -> None:
    assert lines(text, path) == [(path, line)]


@pytest.mark.attack(
    guard="GIT001",
    tried="CODEOWNERS has owners in a line that GitHub skips or reads otherwise: `!file`, U+2028, a no-break space",
    said="CODEOWNERS names no owner for ",
)
@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("!important.lock @ada", "!important.lock"),
        ("# Owners\u2028* @ada", "contract.yaml"),
        ("# Owners\x0c* @ada", "contract.yaml"),
        ("/contract.yaml\u00a0@ada", "contract.yaml"),
    ],
)
def test_owners_that_github_does_not_see_protect_nothing(text: str, path: str, said: str) -> None:
    assert Ownership("CODEOWNERS", CodeOwners("CODEOWNERS", text).uncovered([path])).gap == f"{said}{path}"


@pytest.mark.attack(
    guard="GIT001",
    tried="CODEOWNERS is a link to a file with other owners",
    said="this is a link, which GitHub does not follow, so nobody owns anything",
)
def test_a_link_names_no_owners(tmp_path: Path, said: str) -> None:
    (tmp_path / "owners").write_text("* @ada\n")
    (tmp_path / "CODEOWNERS").symlink_to("owners")
    with pytest.raises(Failed, match=said):
        CodeOwners.find(tmp_path)


@pytest.mark.attack(
    guard="GIT001",
    tried="CODEOWNERS is so large that GitHub does not read it",
    said="3000001 bytes; GitHub reads none above 3000000, so nobody owns anything",
)
def test_a_file_that_github_does_not_read_names_no_owners(tmp_path: Path, said: str) -> None:
    for size in (3_000_000, 3_000_001):
        (tmp_path / "CODEOWNERS").write_text("* @ada\n".ljust(size, "#"))
        if size == 3_000_000:
            assert CodeOwners.find(tmp_path)
    with pytest.raises(Failed, match=said):
        CodeOwners.find(tmp_path)


def test_only_the_first_file_that_github_finds_counts(tmp_path: Path) -> None:
    assert CodeOwners.find(tmp_path) is None
    (tmp_path / "CODEOWNERS").write_text("* @ada\n")
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github/CODEOWNERS").write_text("")
    found = CodeOwners.find(tmp_path)
    assert found
    assert found.file == ".github/CODEOWNERS"
    assert found.uncovered(["contract.yaml"])


def test_owners_are_those_of_the_lines_that_github_reads() -> None:
    text = "* ada@lab.example @lab/ml # bo@lab.example\n/a#b @cy\n[d]ocs @di\n!ci @ed\n/x ada@lab.example\r\n"
    assert CodeOwners("CODEOWNERS", text).owners == ("ada@lab.example", "@lab/ml", "@cy")


def test_an_owner_that_nobody_has_replaced_is_named_and_an_account_may_have_any_name() -> None:
    text = "* ada@lab.example TODO@deputy.example\n/contract.yaml @lab/todo\n/.dvc/ second-owner@example.org\n"
    owners = CodeOwners("CODEOWNERS", text)
    assert owners.placeholders() == (("TODO@deputy.example", 1), ("second-owner@example.org", 3))
    left = Ownership("CODEOWNERS", (), owners.placeholders())
    names = "TODO@deputy.example, second-owner@example.org"
    assert left.gap == f"CODEOWNERS still names {names} as an owner, in the lines 1, 3: write who it is"
    assert [place.line for place in left.places] == [1, 3]
    assert left.fix.startswith("Edit `CODEOWNERS`: write an account")
    assert Ownership("CODEOWNERS", (), CodeOwners("CODEOWNERS", "* bo@lab.example @lab/tbd\n").placeholders()).gap == ""
