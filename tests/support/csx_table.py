"""What a person writes where `beampermit new --from-table` leaves TODO in the project of the CSX table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from support.paths import CSX

COMMAND = ("--from-table", str(CSX), "--output", "target", "--group", "roi")
ANSWERS = (
    "Pointing out detector regions whose time series a person should look at before the scan is used.",
    "Beamline scientists, during a scan and after it.",
    "Discarding data without a person's look, and protection of the detector.",
    "It has seen scans of one beamline only.",
    "The region of the detector, and the length of the scan.",
    "A wrong output costs time of a person and harms nobody.",
    "The beamline's own code computes the features; its version must not change.",
    "CSX:SCAN:ANOMALY",
    "Detecting anomalies of scans while they are measured.",
    "Features of time series of detector regions at CSX, with labels of experts.",
    "There is no time, and two regions have fewer than twenty rows.",
    "BSD 3-Clause, as the repository that they come from.",
    "Regions of the detector that training has not seen, as in service.",
    "Look at the scan as before, and tell the person on call.",
    "See whether the detector or the scan has changed, then tell the maintainer.",
)
"""In the order of the contract."""
GATES = {"gate: 0.579": "gate: 0.95", "gate: 0.247": "gate: 0.1"}
TODO = re.compile(r'"TODO[^"]*"|TODO[^\]}]*')


def write_what_only_a_person_knows(contract: Path) -> None:
    """Replace each TODO of the contract, and take away the comments that ask for a look."""
    answers = iter(ANSWERS)
    text = answered(contract.read_text(encoding="utf-8"), answers)
    assert not list(answers)
    for first, own in GATES.items():
        assert first in text
        text = text.replace(first, own)
    contract.write_text(text, encoding="utf-8")


def answered(text: str, answers: Iterator[str]) -> str:
    """A drafted contract with an answer at each TODO, and without the comments that ask for a look."""
    return "\n".join(_answered(text.splitlines(), answers)) + "\n"


def _answered(lines: list[str], answers: Iterator[str]) -> Iterator[str]:
    asked = False
    for line in lines:
        comment = line.lstrip().startswith("#")
        asked = comment and ("# TODO" in line or (asked and line.lstrip().startswith("#   ")))
        if not asked:
            yield line if comment else TODO.sub(lambda _: json.dumps(next(answers)), line)
