"""Alarm severities and the words of alarm status, as EPICS numbers them."""

from __future__ import annotations

from enum import IntEnum


class Severity(IntEnum):
    NO_ALARM = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


class Status(IntEnum):
    """What kind of alarm it is; the numbers are those of channel access."""

    NO_ALARM = 0
    READ = 1
    """An input has a value that cannot be used: not finite, not physical, of another type or shape."""
    HIHI = 3
    HIGH = 4
    LOLO = 5
    LOW = 6
    TIMEOUT = 10
    """An input is too old, or its time cannot be true."""
    CALC = 12
    """The model gave no answer, or one that cannot be true."""
    LINK = 14
    """An input is disconnected, or its own alarm is too severe."""
    UDF = 17
    """There was no value yet."""
    DISABLE = 18
    """Nothing permits this model to serve: no permit, other bytes, retired."""
