"""docs/pvs.md: the PVs that a service shows, as it makes them of a contract."""

from __future__ import annotations

from markdown_table import code, table

from beampermit.contract.causes import SEVERITIES
from beampermit.live.epics.definitions import DESCRIPTION, LIMIT_FIELDS, LONGEST_TEXT, MOST_DECIMALS, UNIT
from beampermit.live.status_pvs import STATUS_PVS

HEAD = """# PVs of a service

`beampermit serve` shows outputs and its own state as EPICS records, over CA and PVA. This page is written from the
code: `python scripts/reference`. [In service](service.md) says how they behave, [what the service shows](truth.md) what
they say when something is wrong.

## Outputs

One record for each PV that `signals.outputs` of the contract names: an `ai` for a number, a `waveform` of doubles for
any `shape`, row after row. Nobody writes a value. The alarm limits of numbers can be written by whom the file of
`--access` lets.
"""
STATUS = """
## Status

The name is `serving.prefix` of the contract, or the model's name in capitals, a colon, and the word below:
`BPM-FAULTS:STATUS`.
"""
KINDS = {"int": "int64in", "float": "ai", "text": "lsi"}
SHOWN = {"text": f"text, at most {LONGEST_TEXT} bytes", "int": "whole number", "float": "number"}


def page() -> str:
    return HEAD + _fields() + STATUS + _status()


def _fields() -> str:
    rows = [
        ("VAL", "the model's answer; NaN where there is none", ""),
        ("DESC", "`description`, or the name", f"ASCII, {DESCRIPTION} bytes"),
        ("EGU", "`unit`; empty for `1`", f"ASCII, {UNIT} bytes"),
        ("PREC", "digits: no coarser than `resolution`, or else than `tolerance`", f"at most {MOST_DECIMALS}"),
        ("LOPR, HOPR", "`range`", ""),
        *(
            (f"{field}, {severity}", f"the alarm limit `{name}`, and its severity {SEVERITIES[name]}", "NaN, NO_ALARM")
            for name, (field, severity) in LIMIT_FIELDS.items()
        ),
        ("TIME", "that of the newest input; of a value without an answer, from when on it is shown", "1990 to 2126"),
        ("SEVR, STAT, AMSG", "alarm of this very value", "AMSG is cut at 39 bytes"),
    ]
    return table(("field", "from", "limit, or where it is not set"), rows)


def _status() -> str:
    rows = [
        (
            code(status.name),
            "longout" if status.writable else KINDS[status.kind],
            "whole number" if status.writable else SHOWN[status.kind],
            status.unit,
            status.description,
            "access group `RESTART`" if status.writable else "nobody",
        )
        for status in STATUS_PVS
    ]
    return table(("PV", "record", "value", "EGU", "DESC", "written by"), rows)
