"""CODEOWNERS is read as GitHub reads it: what it skips protects nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.github.codeowners import CodeOwners


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
    ],
)
def test_the_last_line_that_matches_counts_and_is_named(text: str, path: str, line: int | None) -> None:
    assert lines(text, path) == [(path, line)]


def test_only_the_first_file_that_github_finds_counts(tmp_path: Path) -> None:
    assert CodeOwners.find(tmp_path) is None
    (tmp_path / "CODEOWNERS").write_text("* @ada\n")
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github/CODEOWNERS").write_text("")
    found = CodeOwners.find(tmp_path)
    assert found
    assert found.file == ".github/CODEOWNERS"
    assert found.uncovered(["contract.yaml"])
