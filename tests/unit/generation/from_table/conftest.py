"""A table as a small CSV file, and what is drafted of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.contract import Contract
from beampermit.contract.load import parse_contract
from beampermit.generation.answers import complete
from beampermit.generation.drafting import contract_text
from beampermit.generation.from_table.draft import Drafted, draft
from beampermit.generation.from_table.reading import copy_table, open_file
from beampermit.generation.from_table.roles import Asked, Roles, roles
from beampermit.generation.from_table.survey import Survey, survey

Surveyed = Callable[[Path], Survey]
Assigned = Callable[..., Roles]


@pytest.fixture
def surveyed(tmp_path: Path) -> Surveyed:
    """The survey of a file's copy."""
    copy = tmp_path / "copy.parquet"
    return lambda file: survey(copy, copy_table(file, copy))


@pytest.fixture
def assigned(surveyed: Surveyed, tmp_path: Path) -> Assigned:
    """The roles of a file's columns: outputs, and others by keyword as `Asked` has them."""

    def assign(file: Path, *outputs: str, **others: Any) -> Roles:
        found = surveyed(file)
        asked = Asked(outputs=outputs, **others)
        return roles(found, open_file(tmp_path / "copy.parquet"), asked, file.name)

    return assign


@pytest.fixture
def drafted(assigned: Assigned, tmp_path: Path) -> Callable[..., Drafted]:
    """The draft of a file's contract."""

    def make(file: Path, *outputs: str, **others: object) -> Drafted:
        return draft(
            assigned(file, *outputs, **others), open_file(tmp_path / "copy.parquet"), "data/table.parquet", "torch"
        )

    return make


@pytest.fixture
def contract_of(drafted: Callable[..., Drafted]) -> Callable[..., Contract]:
    """The drafted contract, read as any other is."""
    answers = complete({})
    return lambda file, *outputs, **others: parse_contract(
        contract_text(drafted(file, *outputs, **others).draft, answers)
    )
