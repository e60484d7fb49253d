"""docs/commands.md: every command with its arguments and options, as `--help` says them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from markdown_table import code, table
from typer.main import get_command

from beampermit.cli.main import PANELS, app

HEAD = """# Commands

Every command with its arguments and options, which `--help` says too. Paths are read from the folder in which the
command is typed; a project is found from any folder in it. What a command ends with is in [exit codes](exit-codes.md).
This page is written from the code: `python scripts/reference`.
"""
OPTION = re.compile(r"(`[^`]*`)|(?<![\w-])(--[a-z][a-z-]*)")
DETAIL = re.compile(r"  \[([^\[\]]*)\]$")


def page() -> str:
    root = get_command(app)
    groups = [_group(panel, [root.commands[name] for name in names]) for panel, names in PANELS.items()]
    return HEAD + _overview() + "".join(groups)


def _overview() -> str:
    rows = []
    for panel, names in PANELS.items():
        links = [f"[{name}](#beampermit-{name})" for name in names]
        rows.append((f"[{panel}](#{panel.lower()})", ", ".join(links)))
    return table(("group", "commands"), rows)


def _group(panel: str, commands: list[Any]) -> str:
    return f"\n## {panel}\n" + "".join(_section(command, f"beampermit {command.name}") for command in commands)


def _section(command: Any, name: str) -> str:
    text = f"\n### {name}\n\n{_paragraphs(command.help)}\n"
    if not hasattr(command, "commands"):
        return text + _parameters(command, name)
    rows = [(f"[{name} {one.name}](#{_anchor(f'{name} {one.name}')})", _first(one.help)) for one in _below(command)]
    below = [_section(one, f"{name} {one.name}") for one in _below(command)]
    return text + table(("command", "what it does"), rows) + "".join(below)


def _below(command: Any) -> Iterator[Any]:
    for one in command.commands.values():
        if not one.hidden:
            yield one


def _parameters(command: Any, name: str) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = command.get_usage(context).partition(": ")[2]
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or parameter.name == "help":
            continue
        shown, meaning = record
        detail = DETAIL.search(meaning)
        said = OPTION.sub(lambda found: found[1] or code(found[2]), DETAIL.sub("", meaning))
        rows.append((code(shown), said, _details(detail[1]) if detail else ""))
    head = ("argument or option", "meaning", "default, or what it must be")
    return f"\n```text\n{' '.join(usage.split())}\n```\n" + table(head, rows)


def _details(text: str) -> str:
    """`default: (this folder)` is `this folder`, and `default: rich` is `rich` in code."""
    said = []
    for part in text.split("; "):
        key, _, value = part.partition(": ")
        if key != "default":
            said.append(part)
        else:
            said.append(value[1:-1] if value.startswith("(") else code(value))
    return "; ".join(said)


def _paragraphs(text: str | None) -> str:
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", (text or "").replace("\b", ""))]
    return "\n\n".join(part.replace("<", "&lt;") for part in paragraphs)


def _first(text: str | None) -> str:
    return re.split(r"(?<=\.) ", _paragraphs(text).partition("\n")[0], maxsplit=1)[0]


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
