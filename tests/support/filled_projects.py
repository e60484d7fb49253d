"""Projects of any example: those that `beampermit new` fills in are made of a small table, or of a LUME model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from beampermit.contract import FILE_NAME
from beampermit.digest import digest_json
from beampermit.generation import generate
from beampermit.generation.answers import complete
from beampermit.generation.from_table.project import EXAMPLE, TableProject, prepare
from beampermit.generation.from_table.roles import Asked
from beampermit.generation.lume_project import EXAMPLE as LUME
from support.csv_tables import numbers, write_csv
from support.lume_project import lume_project
from support.shared import made_once, shared_folder

ROWS = 240


def small_table(folder: Path) -> TableProject:
    """A quantity and a class of three that follow from a number and a text, in runs that follow each other in time."""
    x, mode = numbers(1, ROWS), [("low", "high")[row % 2] for row in range(ROWS)]
    y = [3 * value + 2 * (text == "high") for value, text in zip(x, mode, strict=True)]
    state = ["cold" if value < -2 else "hot" if value > 3 else "fine" for value in y]
    times = [f"2026-01-{1 + row // 24:02}T{row % 24:02}:00:00Z" for row in range(ROWS)]
    columns = {"x [mm]": x, "mode": mode, "y (m)": y, "state": state, "run": [row // 12 for row in range(ROWS)]}
    file = write_csv(folder / "small table.csv", [*columns, "at"], *columns.values(), times)
    asked = Asked(outputs=("y (m)", "state"), groups=("run",), time="at")
    return prepare(file, asked, folder)


def generated_project(output_dir: Path, answers: Mapping[str, str]) -> Path:
    """A project with these answers."""
    prepare_from = {EXAMPLE: small_table, LUME: lume_project}.get(answers.get("example", ""))
    if not prepare_from:
        return generate(output_dir, answers)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "surrogate"
        folder.mkdir()
        begun = prepare_from(folder)
        return generate(output_dir, answers, defaults=begun.defaults, fill=begun.fill)


def project_to_read(factory: pytest.TempPathFactory, answers: Mapping[str, str]) -> Path:
    """A project with these answers, made once for all tests that ask for the same: look, do not touch."""
    name = digest_json(complete(answers))[-12:]
    folder = made_once(shared_folder(factory) / "projects" / name, lambda made: generated_project(made, answers))
    (contract,) = folder.glob(f"*/{FILE_NAME}")
    return contract.parent
