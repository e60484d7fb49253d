"""The archiver's samples become rows; what is wrong with them, or with it, is said and never guessed."""

from __future__ import annotations

from answers import AT, Ask, rows
from archiver import Archiver, sample
from beampermit.project import Project


def sound(archiver: Archiver) -> None:
    archiver.add("BEAM:CURRENT", [sample(AT - 5, 100.0), *(sample(AT + n, 100.0 + n) for n in range(10))], "mA")
    archiver.add("MACHINE:MODE", [sample(AT - 3000, 3)])


def test_the_last_value_of_each_signal_makes_rows(ask_archiver: Ask, archiver: Archiver, project: Project) -> None:
    sound(archiver)
    assert ask_archiver().sidecar["rows"] == 10
    found = rows(project.root, "CAST(acquired_at AS VARCHAR), current, mode, mode_severity")
    assert found[0] == ("2026-03-01 07:00:00+00", 100.0, 3.0, 0)
    assert found[9] == ("2026-03-01 07:00:09+00", 109.0, 3.0, 0)
