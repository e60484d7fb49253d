"""What `--help` shows at 80 columns: groups, and each command's first sentence whole."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from beampermit.cli import help as helping
from beampermit.cli.main import PANELS, app

GROUPS = [(), *((name,) for panel in PANELS.values() for name, item in panel.items() if isinstance(item, typer.Typer))]


def help_of(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return result.output


def sentences(group: Any) -> dict[str, str]:
    return {name: (command.help or "").split("\n\n")[0] for name, command in group.commands.items()}


@pytest.mark.slow
@pytest.mark.parametrize("command", GROUPS, ids=lambda command: " ".join(command) or "beampermit")
def test_each_command_stands_on_one_line_with_its_whole_first_sentence(command: tuple[str, ...]) -> None:
    group: Any = typer.main.get_command(app)
    for name in command:
        group = group.commands[name]
    lines = help_of(*command).splitlines()
    assert all(len(line) <= 80 for line in lines)
    for name, sentence in sentences(group).items():
        assert f"  {name.ljust(max(map(len, group.commands)))}  {sentence}" in lines


def test_commands_are_grouped_by_what_somebody_wants_to_do() -> None:
    headings = [line.rstrip(":") for line in help_of().splitlines() if line.endswith(":") and line[0].isupper()]
    assert headings == ["Options", *PANELS]


def test_a_command_is_made_when_it_is_asked_for_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    make = helping.get_command
    monkeypatch.setattr(helping, "get_command", lambda one: made.append(one) or make(one))
    commands = helping.AsAsked(PANELS)
    group: Any = helping.Grouped(name="beampermit", commands=commands)  # pyright: ignore[reportArgumentType]
    assert group.list_commands(None)[:2] == ["new", "init"]
    assert ("chek" in commands, commands.get("chek"), made) == (False, None, [])
    assert group.get_command(None, "check") is group.get_command(None, "check")
    assert len(made) == 1
