"""What the runbook says of each check of monitoring: its meaning, and what to do where the contract does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SAME = (
    "Is the machine run otherwise than usual: a study, another mode, a shutdown? Then bypass the alarm until it ends."
)
CHANGED = "If the machine has changed for good, tell the owners: they train again or propose other limits."


@dataclass(frozen=True)
class Guide:
    meaning: str
    steps: tuple[str, ...]


GUIDES: Mapping[str, Guide] = MappingProxyType(
    {
        "MON001": Guide(
            "An input is distributed otherwise than in the data that its limit is from. Nothing is INVALID, but "
            "answers may be worse.",
            ("Look at the input that the PV's message names: a sensor, its unit, its calibration.", SAME, CHANGED),
        ),
        "MON002": Guide(
            "The inputs together are at a place where the model was never tested, though each alone may be usual.",
            ("Look whether several inputs have moved at once, and since when.", SAME, CHANGED),
        ),
        "MON003": Guide(
            "Inputs are missing, out of range or in alarm more often than in the reference.",
            ("Look whether the PVs of that input are connected and up to date.", "Call whoever runs their IOC."),
        ),
        "MON004": Guide(
            "The outputs, or the share that they flag, are others than in the reference: the machine or the model has "
            "changed.",
            ("Compare an output with a measurement by hand.", "If it is wrong, fall back or roll back.", SAME),
        ),
        "MON005": Guide(
            "Outputs are INVALID or a fallback too often: what is shown is often not the model's.",
            (
                "Read REASON: it says what is wrong now.",
                "Repair that input, or start the model's process again (RESTART).",
            ),
        ),
        "MON006": Guide(
            "The model takes longer than agreed, so that outputs are late.",
            ("Look at the load of the machine that serves it.", "Start the model's process again (RESTART)."),
        ),
        "MON007": Guide(
            "Predictions differ from the truth that arrived later by more than agreed: the model is worse.",
            ("Do not act on the outputs.", "Fall back or roll back, and tell the owners."),
        ),
        "MON008": Guide(
            "The monitor has too few rows, no limits, or does not run: nothing is watched.",
            (
                "Look whether `beampermit monitor` runs, and whether its log grows (MONITOR is the age of its result).",
                "Start it again; watch the outputs by hand until then.",
            ),
        ),
    }
)
