"""`--help` lists commands in groups, each with its whole first sentence; a command is made when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

Panels = Mapping[str, Mapping[str, Callable[..., Any] | typer.Typer]]
"""Heading of `--help` -> name -> the function of a command, or a group of them."""


class AsAsked(Mapping[str, Any]):
    """The commands by name, each made when it is asked for: to make all takes as long as to import them."""

    def __init__(self, panels: Panels) -> None:
        rows = [(name, panel, what) for panel, part in panels.items() for name, what in part.items()]
        rows.sort(key=lambda row: isinstance(row[2], typer.Typer))  # in `--help`, groups come after commands
        self._known = {name: (panel, what) for name, panel, what in rows}
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name, *self._known[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def panel(self, name: str) -> str:
        return self._known[name][0]


def _made(name: str, panel: str, what: Callable[..., Any] | typer.Typer) -> Any:
    one = typer.Typer(rich_markup_mode=None)
    one.callback()(lambda: None)  # without one, a command alone has no name
    if isinstance(what, typer.Typer):
        one.add_typer(what, name=name, rich_help_panel=panel)
    else:
        one.command(name, rich_help_panel=panel)(what)
    group: Any = get_command(one)
    return group.commands[name]


class Grouped(TyperGroup):
    """Commands under the heading that their `rich_help_panel` names.

    Plain text: loading rich for its panels would double the time that `--help` takes.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        panels = list(dict.fromkeys(self._panel(name) for name in self.commands))
        return sorted(self.commands, key=lambda name: panels.index(self._panel(name)))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        rows: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            rows.setdefault(self._panel(name), []).append((name.ljust(width), self._summary(name)))
        for panel, commands in rows.items():
            with formatter.section(panel):
                formatter.write_dl(commands)

    def _panel(self, name: str) -> str:
        if isinstance(self.commands, AsAsked):
            return self.commands.panel(name)
        return getattr(self.commands[name], "rich_help_panel", None) or "Commands"

    def _summary(self, name: str) -> str:
        paragraph = " ".join((self.commands[name].help or "").split("\n\n")[0].split())
        return re.split(r"(?<=\.) ", paragraph, maxsplit=1)[0]
