"""What an inventory says of all models of a laboratory: an entry for each, and what is wrong as findings.

Gathering writes them; a document shows them as a page.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from beampermit.record import Count, Number, Record, Text

FINDINGS = {
    "INV001": "Served, but not in the ledger",
    "INV002": "In the ledger, but silent",
    "INV003": "Two servers for one PV",
    "INV004": "Another version is served than promoted",
    "INV005": "The registry says something else than the ledger",
    "INV006": "The review is overdue",
    "INV007": "An owner is gone",
    "INV008": "The monitor is silent",
    "INV009": "A schedule is disabled",
    "INV010": "The permit's key ends soon",
    "INV011": "Retired, but served",
    "INV012": "Frozen",
    "INV013": "The lock has a known vulnerability",
    "INV014": "The alarm tree does not fit",
    "INV015": "Not archived",
    "INV016": "It cannot be read",
    "INV017": "The ledger is not believed",
}
"""Id -> what is wrong. The numbers stay."""
Level = Literal["MAJOR", "MINOR", "NOTE"]
LEVELS: tuple[Level, ...] = ("MAJOR", "MINOR", "NOTE")
"""Worst first. A note is what somebody decided, and may have forgotten."""
UNREACHED = 4


class Finding(Record):
    """Something that somebody has to do."""

    id: Annotated[str, Field(pattern=r"^INV\d{3}$")]
    level: Level
    project: Text = ""
    """The repository, without a login; empty for what belongs to none."""
    model: Text = ""
    message: Text
    next: Text
    """The next command, or what to do."""
    unknown: bool = False
    """Something outside did not answer, so that nobody knows: the project may be fine."""

    @property
    def title(self) -> str:
        return FINDINGS.get(self.id, self.id)


class Package(Record):
    """A locked package with known vulnerabilities."""

    name: Text
    version: Text
    known: tuple[Text, ...]
    """Their ids."""


class Bypassed(Record):
    """An alarm that people hold back until a time."""

    alarm: Text
    """With what it is about, such as `MON001 turns.std`."""
    until: Text
    by: Text
    reason: Text


class Entry(Record):
    """One model; times in s since 1970."""

    project: Text
    folder: Text = ""
    """Of the contract in its repository; empty at the top."""
    model: Text
    summary: Text = ""
    owners: tuple[Text, ...] = ()
    on_call: Text = ""
    review_by: Text = ""
    """A day such as `2027-06-01`; empty where no contract could be read."""
    state: Literal["in service", "retired", "never promoted", "not known"]
    version: Count = 0
    """The champion, else the version that was last in service; 0 for none."""
    since: Text = ""
    """When it was put into service or retired, UTC."""
    by: Text = ""
    commit: Text = ""
    permit: Text = ""
    frozen: bool = False
    prefix: Text = ""
    """Of its status PVs."""
    pvs: Count = 0
    """Output PVs."""
    asked: bool = False
    """Whether its service was asked."""
    status: Text = ""
    """As the service says; empty where it does not answer."""
    reason: Text = ""
    served: Count = 0
    """The version that gave the last answer."""
    alive: bool = False
    """Whether the heartbeat moves."""
    monitored: Number | None = None
    """Age of the newest result of monitoring, s; None where there is none."""
    bypassed: tuple[Bypassed, ...] = ()
    """In force when the inventory was made."""
    registry: Count | None = None
    """The version with the alias champion there; None where nobody asked, or there is none."""
    vulnerable: tuple[Package, ...] = ()


class Inventory(Record):
    """Entries by project and model, findings worst first."""

    at: Number
    """When it was made, s since 1970."""
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    unasked: tuple[Text, ...] = ()
    """What was not looked at, and why."""

    @property
    def exit_code(self) -> int:
        """As of several verdicts: what is known to be wrong decides, then what is not known. Notes are not counted."""
        counted = [finding for finding in self.findings if finding.level != "NOTE"]
        if any(not finding.unknown for finding in counted):
            return 1
        return UNREACHED if counted else 0

    def of(self, entry: Entry) -> tuple[Finding, ...]:
        return tuple(
            finding for finding in self.findings if (finding.project, finding.model) == (entry.project, entry.model)
        )
