"""EPICS in this process: what is decided before it is loaded, which no test does in its own process."""

from __future__ import annotations

import logging
import re
import sys
from types import ModuleType

import pytest

from beampermit.live.epics.base import FIELD, Base, _log, _with_level

AI = """\
    field(VAL,DBF_DOUBLE) {
        prompt("Current EGU Value")
        asl(ASL0)
        pp(TRUE)
    }
    field(HIHI,DBF_DOUBLE) {
        prompt("Hihi Alarm Limit")
        prop(YES)
    }
"""


def test_limits_may_be_changed_and_values_may_not() -> None:
    levels = {found[1]: "ASL0" in _with_level(found) for found in FIELD.finditer(AI)}
    assert levels == {"VAL": False, "HIHI": True}
    assert re.sub(r"\s*asl\(ASL0\)", "", FIELD.sub(_with_level, AI)).split() == AI.replace("asl(ASL0)", "").split()


def test_there_is_one_ioc_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "softioc", ModuleType("softioc"))
    with pytest.raises(RuntimeError, match="there is one IOC in a process"):
        Base([], "", None)


def test_what_epics_prints_is_logged_without_colours(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "beampermit.epics"):
        _log(None, b"\x1b[31;1mERROR\x1b[0m cas: unable to bind\nStarting iocInit\n\n")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "ERROR cas: unable to bind"),
        ("DEBUG", "Starting iocInit"),
    ]
