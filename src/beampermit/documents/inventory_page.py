"""The inventory as a page that an operator reads on a telephone, as Markdown, and on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from beampermit.documents import rendering
from beampermit.documents.markdown import Markdown, code, logged, prose
from beampermit.documents.page import page
from beampermit.errors import counted, is_command
from beampermit.verdicts.inventory import LEVELS, Entry, Finding, Inventory

TITLE = "Inventory"
ICONS = {"MAJOR": "❌", "MINOR": "⚠️", "NOTE": "❔"}
SOUND = "✅"
SUMMARY = 900_000
"""Bytes; a summary of a run on GitHub has at most 1 MiB."""


@dataclass(frozen=True)
class _Row:
    """A model, and what is wrong with it."""

    entry: Entry
    findings: tuple[Finding, ...]

    @property
    def icon(self) -> str:
        worst = min((LEVELS.index(finding.level) for finding in self.findings), default=None)
        return SOUND if worst is None else ICONS[LEVELS[worst]]

    @property
    def name(self) -> str:
        return self.entry.model or "unread"

    @property
    def version(self) -> str:
        return f"{self.entry.version or ''}"

    @property
    def state(self) -> str:
        return f"{self.entry.state}, frozen" if self.entry.frozen else self.entry.state

    @property
    def service(self) -> str:
        entry = self.entry
        if not entry.status:
            return "no answer"
        return entry.status if entry.alive else f"{entry.status}, stands"

    @property
    def place(self) -> str:
        return f"{self.entry.project} {self.entry.folder}".rstrip()

    @property
    def ids(self) -> str:
        return " ".join(finding.id for finding in self.findings)

    @property
    def since(self) -> str:
        return self.entry.since[:16].replace("T", " ")


def inventory_markdown(made: Inventory) -> Markdown:
    """As long as a summary of a run may be: models that are sound go first."""
    parts = rendering.blocks("inventory.md.j2", _values(made))
    titles = {"models": "all models", "details": "each model in full"}
    return rendering.shorten(parts, ("details", "models"), titles, "The page has all of it.", SUMMARY, rendering.size)


def inventory_page(made: Inventory) -> str:
    return page(rendering.join(rendering.blocks("inventory.md.j2", _values(made))), TITLE)


def inventory_text(made: Inventory) -> str:
    """Findings first, as verdicts are printed: what, then the next command."""
    lines = [*_findings(made), *(f"not asked  {logged(what)}" for what in made.unasked), _total(made)]
    return "\n".join(lines)


def _findings(made: Inventory) -> Iterator[str]:
    for finding in made.findings:
        where = " of ".join(filter(None, (logged(finding.model), logged(finding.project)))) or "the site"
        yield f"{finding.level:<5} {finding.id}  {where}: {logged(finding.message)}"
        yield f"      next: {logged(finding.next)}"


def _total(made: Inventory) -> str:
    models = sum(bool(entry.model) for entry in made.entries)
    serving = sum(entry.state == "in service" for entry in made.entries)
    levels = Counter(finding.level for finding in made.findings)
    wrong = ", ".join(f"{levels[level]} {level}" for level in LEVELS if levels[level]) or "nothing is wrong"
    return f"{counted(models, 'model')}, {serving} in service: {wrong}"


def _values(made: Inventory) -> dict[str, object]:
    rows = [_Row(entry, made.of(entry)) for entry in made.entries]
    return {
        "made": made,
        "at": f"{datetime.fromtimestamp(made.at, UTC):%Y-%m-%d %H:%M} UTC",
        "total": _total(made),
        "rows": sorted(rows, key=lambda row: (row.icon == SOUND, row.entry.model, row.entry.project)),
        "icons": ICONS,
        "next_of": _next,
    }


def _next(finding: Finding) -> Markdown:
    """A command as code, anything else as a sentence."""
    return code(finding.next) if is_command(finding.next) else prose(finding.next)
