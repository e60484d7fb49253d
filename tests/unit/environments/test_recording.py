"""The contract gets the indexes that a lock names, and keeps every other line."""

from __future__ import annotations

import pytest

from beampermit.contract import load_contract
from beampermit.environments.recording import record_indexes
from beampermit.errors import BadInput
from beampermit.project import Project

NEW = ("https://index.lab.example/simple", "/wheels of ours")
SHAPES = {
    "no list": "environment:\n  backend: uv\n",
    "no list, a value of several lines last": "environment:\n  platforms:\n    - linux-x86_64\n",
    "an empty list": "environment:\n  backend: uv  # the one we know\n  indexes: []  # of the laboratory\n",
    "a list in brackets": 'environment:\n  indexes: ["https://other.example"]\n  backend: uv\n',
    "a list of lines": "environment:\n  indexes:\n    - https://other.example  # mirror\n  # the rest\n  backend: uv\n",
    "a list of lines without indent": "environment:\n  indexes:\n  - https://other.example\n  backend: uv\n",
    "no section": "",
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_only_lines_are_added_and_comments_stay(project: Project, contract_text: str, shape: str) -> None:
    file = project.root / "contract.yaml"
    before = contract_text.replace("environment:\n  backend: uv\n", SHAPES[shape])
    file.write_text(before)
    already = load_contract(project.root).environment.indexes
    assert record_indexes(project.root, (*already, *NEW)) == NEW
    assert load_contract(project.root).environment.indexes == (*already, *NEW)
    kept = [line for line in before.splitlines() if "indexes:" not in line]
    assert [line for line in file.read_text().splitlines() if line in kept] == kept


def test_what_is_recorded_already_changes_no_byte(project: Project, contract_text: str) -> None:
    file = project.root / "contract.yaml"
    file.write_text(contract_text.replace("  backend: uv\n", "  backend: uv\n  indexes: [https://a.example]\n"))
    before = file.stat().st_mtime_ns
    assert record_indexes(project.root, ("https://a.example",)) == ()
    assert file.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_list_that_no_line_can_be_added_to_is_left_to_a_person(project: Project, contract_text: str) -> None:
    file = project.root / "contract.yaml"
    text = contract_text.replace("environment:\n  backend: uv\n", "environment: {backend: uv}\n")
    file.write_text(text)
    with pytest.raises(BadInput, match=r"add https://index\.lab\.example/simple, .* to environment\.indexes by hand"):
        record_indexes(project.root, NEW)
    assert file.read_text() == text
