"""EPICS base and its servers for CA and PVA in this process, through softioc and ctypes. One start a process.

Records are updated in their own memory, under their lock, and processed at once (decision 24).
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from beampermit.errors import BadInput, Outside
from beampermit.live.epics.definitions import LIMIT_FIELDS, Definition
from beampermit.live.extra import require_live

LOG = logging.getLogger("beampermit.epics")
COLOUR = re.compile(r"\x1b\[[\d;]*m")
TROUBLE = re.compile(r"error|fail|warning|unable|cannot", re.IGNORECASE)
FIELD = re.compile(r"field\((\w+),\s*\w+\)\s*\{[^}]*\}")
OPERATORS = {limit for limit, _ in LIMIT_FIELDS.values()}
TEXTS = ("DESC", "EGU")
STRING, CHAR, DOUBLE = 0, 1, 10
"""Types of a request, as EPICS numbers them (dbFldTypes.h)."""
RUNNING = 3
"""State of an IOC that serves."""
LISTENER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)


class Base:
    """The IOC of this process."""

    def __init__(self, definitions: Iterable[Definition], rules: str, access: Path | None):
        """Load the records; `rules` of access security come from the file `access`, which errors name.

        Raises `BadInput` where EPICS cannot read them.
        """
        if "softioc" in sys.modules:
            raise RuntimeError("there is one IOC in a process, and its record types are loaded once")
        require_live()
        with TemporaryDirectory() as folder:
            _load_record_types(Path(folder))
            from softioc import imports

            self._core, self._common = imports.dbCore, imports.Com
            self._kept: list[Any] = []
            self._log_messages()
            self._load_records(definitions, Path(folder) / "records.db")
            _load_pva()
            self._build(rules, Path(folder) / "access.acf", access)
        self._declare()

    def serve(self) -> None:
        """From here on clients see the records."""
        self._core.iocRun()
        if self._core.getIocState() != RUNNING:
            raise Outside("EPICS cannot start its servers")

    def address(self, record: str) -> int:
        """Of the record in memory."""
        return int(self._place(record)[0] or 0)

    def offsets(self, kind: str) -> dict[str, int]:
        """Of the fields of a type of record, in bytes."""
        from softioc.imports import get_field_offsets

        return {name: offset for name, (offset, _, _) in get_field_offsets(kind).items()}

    def set_field(self, record: str, name: str, value: str) -> None:
        """A field beside the value; clients that watch it are told."""
        content = value.encode() + b"\0"
        # A text is put as characters: as one string it would lose its 40th.
        text = name in TEXTS
        place = self._place(f"{record}.{name}{'$' if text else ''}")
        if self._core.dbPutField(place, CHAR if text else STRING, content, len(content) if text else 1):
            raise ValueError(f"{record} has no field {name} for {value!r}")

    def number(self, field: str) -> float | None:
        """The number in `RECORD.FIELD`; None where it holds none."""
        content, count = ctypes.c_double(), ctypes.c_long(1)
        reference = ctypes.byref(content)
        if self._core.dbGetField(self._place(field), DOUBLE, reference, None, ctypes.byref(count), None):
            return None
        return content.value

    def listen(self, listener: Any) -> None:
        """`listener` is told of each write by a client (asTrapWrite), before it and after it, by a server's thread."""
        self._kept.append(listener)
        self._common.asTrapWriteRegisterListener(listener)

    def report(self, command: str) -> str:
        """What a command of the shell prints."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "report"
            self._common.iocshCmd(os.fsencode(f'{command} > "{file}"'))
            return file.read_text(errors="replace") if file.exists() else ""

    def _place(self, name: str) -> Any:
        """A struct dbAddr, which begins with the address of the record."""
        place = (ctypes.c_void_p * 16)()
        if self._core.dbNameToAddr(name.encode(), place):
            raise KeyError(name)
        return place

    def _load_records(self, definitions: Iterable[Definition], file: Path) -> None:
        file.write_text("".join(definition.text for definition in definitions))
        if self._core.dbLoadRecords(os.fsencode(file), None):
            raise BadInput("EPICS cannot make records of this contract")

    def _build(self, rules: str, file: Path, access: Path | None) -> None:
        # Hosts are those that connections come from, not what clients say of themselves.
        ctypes.c_int.in_dll(self._common, "asCheckClientIP").value = 1
        file.write_text(rules)
        self._core.asSetFilename(os.fsencode(file))
        # As root, EPICS would lock all memory of the process, also what is only reserved, such as stacks of threads.
        ctypes.c_int.in_dll(self._core, "dbThreadRealtimeLock").value = 0
        failed = self._core.iocBuild()
        if not ctypes.c_int.in_dll(self._common, "asActive").value:  # then anybody could write
            raise BadInput("EPICS cannot read this access security file, and has said above why", file=access)
        if failed:
            raise Outside("EPICS cannot start")

    def _declare(self) -> None:
        """Functions of the address of a record: between `lock` and `unlock` it may be written, then processed."""
        keeping = ctypes.PyDLL(self._core._name)  # what does not wait keeps Python's own lock, which is long in coming
        self.lock: Callable[[int], None] = self._core.dbScanLock
        self.process: Callable[[int], None] = keeping.dbProcess
        self.unlock: Callable[[int], None] = keeping.dbScanUnlock
        for function in (self._core.dbScanLock, keeping.dbProcess, keeping.dbScanUnlock):
            function.argtypes, function.restype = [ctypes.c_void_p], None

    def _log_messages(self) -> None:
        """What EPICS prints goes to the log."""
        listener = LISTENER(_log)
        self._kept.append(listener)
        self._common.errlogAddListener(listener, None)
        self._common.eltc(0)


def leave(code: int) -> NoReturn:
    """End the process at once: threads of EPICS may hang or crash in an orderly end of Python."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _load_record_types(folder: Path) -> None:
    """Those of EPICS, but of an ai record the alarm limits are what may be changed (ASL0), and the value is not.

    Must be before softioc loads them: what is loaded first stays.
    """
    from epicscorelibs import ioc
    from epicscorelibs.path import base_path

    folder_of_base = Path(base_path) / "dbd"
    text = (folder_of_base / "aiRecord.dbd").read_text()
    (folder / "aiRecord.dbd").write_text(FIELD.sub(_with_level, text))
    ioc.iocshRegisterCommon()
    path = os.pathsep.join(map(str, (folder, folder_of_base)))
    if ioc.dbLoadDatabase(b"base.dbd", os.fsencode(path), None):
        raise Outside("EPICS cannot load its record types")


def _with_level(found: re.Match[str]) -> str:
    """A field of a record type, with its access security level."""
    field = found[0].replace("asl(ASL0)", "")
    return f"{field[:-1]}    asl(ASL0)\n    }}" if found[1] in OPERATORS else field


def _load_pva() -> None:
    """The PVA server of PVXS, as softioc loads it."""
    import pvxslibs.path
    from setuptools_dso.runtime import find_dso
    from softioc import imports
    from softioc.softioc import pdbbase

    imports.dbLoadDatabase("pvxsIoc.dbd", pvxslibs.path.dbd_path, None)
    ctypes.CDLL(find_dso("pvxslibs.lib.pvxsIoc"), ctypes.RTLD_GLOBAL)
    imports.registerRecordDeviceDriver(pdbbase)


def _log(_: object, message: bytes) -> None:
    for line in COLOUR.sub("", message.decode(errors="replace")).splitlines():
        if line.strip():
            LOG.log(logging.WARNING if TROUBLE.search(line) else logging.DEBUG, "%s", line.strip())
