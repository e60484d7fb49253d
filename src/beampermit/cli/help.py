"""`--help` lists commands in groups, each with its whole first sentence."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperGroup


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
        return getattr(self.commands[name], "rich_help_panel", None) or "Commands"

    def _summary(self, name: str) -> str:
        paragraph = " ".join((self.commands[name].help or "").split("\n\n")[0].split())
        return re.split(r"(?<=\.) ", paragraph, maxsplit=1)[0]
