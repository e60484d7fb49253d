"""One record in memory: its value, alarm and time are written together, and then processed as one."""

from __future__ import annotations

import ctypes
import math
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from beampermit.live.epics.definitions import Definition, shortened
from beampermit.live.severity import Severity, Status

if TYPE_CHECKING:
    from beampermit.live.epics.base import Base

EPOCH = 631152000
"""1990, from which EPICS counts seconds, in s since 1970."""
LATEST = EPOCH + 2**32 - 1
"""The last second that a record can hold, s since 1970."""
MESSAGE = 39
"""Bytes of an alarm's message (AMSG), without its end."""


class Slot(ABC):
    """A record that has been loaded."""

    def __init__(self, base: Base, definition: Definition):
        self._base = base
        self._record = record = base.address(definition.name)
        self._offsets = offsets = base.offsets(definition.kind)
        self._undefined = ctypes.c_uint8.from_address(record + offsets["UDF"])
        self._severity = ctypes.c_uint16.from_address(record + offsets["NSEV"])
        self._status = ctypes.c_uint16.from_address(record + offsets["NSTA"])
        self._message = (ctypes.c_char * (MESSAGE + 1)).from_address(record + offsets["NAMSG"])
        self._time = (ctypes.c_uint32 * 2).from_address(record + offsets["TIME"])

    def show(
        self,
        value: float | str | np.ndarray,
        severity: Severity = Severity.NO_ALARM,
        status: Status = Status.NO_ALARM,
        message: str = "",
        at: float = math.nan,
    ) -> None:
        """Clients get all of it as one update. `at` is in s since 1970; NaN is now. A time that a record cannot hold
        becomes the first or the last one that it can.
        """
        seconds, part = divmod(min(max(time.time() if math.isnan(at) else at, EPOCH), LATEST), 1)
        alarm = severity, status, shortened(message, MESSAGE)
        self._base.lock(self._record)
        try:
            self._write(value)
            self._time[:] = int(seconds) - EPOCH, int(part * 1e9)
            self._raise(*alarm)
            self._undefined.value = severity == Severity.INVALID
            self._base.process(self._record)
            # A client that may change limits can have the record processed with them: it keeps its alarm.
            self._raise(*alarm)
            self._undefined.value = severity == Severity.INVALID  # a waveform takes any array for a value
        finally:
            self._base.unlock(self._record)

    @abstractmethod
    def _write(self, value: float | str | np.ndarray) -> None: ...

    def _raise(self, severity: Severity, status: Status, message: bytes) -> None:
        """The least alarm of the next processing; the record's own limits may raise a worse one."""
        self._severity.value, self._status.value, self._message.value = severity, status, message


class Number(Slot):
    """ai, int64in or longout."""

    def __init__(self, base: Base, definition: Definition):
        super().__init__(base, definition)
        kinds = {"int64in": ctypes.c_int64, "longout": ctypes.c_int32}
        place = self._record + self._offsets["VAL"]
        self._value = kinds.get(definition.kind, ctypes.c_double).from_address(place)

    def _write(self, value: float | str | np.ndarray) -> None:
        self._value.value = value


class Array(Slot):
    """A waveform of float64; `shape` is flattened row after row."""

    def __init__(self, base: Base, definition: Definition):
        super().__init__(base, definition)
        length = int(definition.fixed["NELM"])
        place = ctypes.c_void_p.from_address(self._record + self._offsets["BPTR"]).value
        self._values = np.ctypeslib.as_array((ctypes.c_double * length).from_address(place or 0))
        self._count = ctypes.c_uint32.from_address(self._record + self._offsets["NORD"])

    def _write(self, value: float | str | np.ndarray) -> None:
        self._values[:] = np.ravel(value)
        self._count.value = len(self._values)


class Text(Slot):
    """lsi."""

    def __init__(self, base: Base, definition: Definition):
        super().__init__(base, definition)
        self._size = int(definition.fixed["SIZV"])
        place = ctypes.c_void_p.from_address(self._record + self._offsets["VAL"]).value
        self._text = (ctypes.c_char * self._size).from_address(place or 0)
        self._length = ctypes.c_uint32.from_address(self._record + self._offsets["LEN"])

    def _write(self, value: float | str | np.ndarray) -> None:
        text = shortened(str(value), self._size - 1)
        self._text.value = text
        self._length.value = len(text) + 1


def slot(base: Base, definition: Definition) -> Slot:
    kinds: dict[str, type[Slot]] = {"waveform": Array, "lsi": Text}
    return kinds.get(definition.kind, Number)(base, definition)
