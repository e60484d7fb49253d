"""The structures of PVA as samples: scalars, arrays, enums, tables and images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from beampermit.live.epics.sample import Choice, Sample, Table, Unreadable, make_sample, text
from beampermit.live.severity import Severity

if TYPE_CHECKING:
    from p4p import Value

GREY = (0, 1)
"""Colour modes of areaDetector with one number a pixel: Mono, and Bayer as the sensor has it."""
COLOURS = {2: "RGB1", 3: "RGB2", 4: "RGB3", 5: "YUV444", 6: "YUV422", 7: "YUV421"}


def pva_sample(structure: Value) -> Sample:
    """What an update says. Alarm and time are optional in a structure; without a time nobody knows its age."""
    try:
        at = structure["timeStamp.secondsPastEpoch"] + structure["timeStamp.nanoseconds"] * 1e-9
    except KeyError:
        at = 0.0
    try:
        severity = structure["alarm.severity"]
        message = structure["alarm.message"] if severity else ""
    except KeyError:
        severity, message = Severity.NO_ALARM, ""
    return make_sample(_value(structure), at, severity, message)


def _value(structure: Value) -> object:
    try:
        value = structure["value"]
    except KeyError:
        return Unreadable(f"a structure without a value ({structure.getID()})")
    match value:
        case float() | int() | bool() | str():
            return value
        case np.ndarray():
            return _image(structure, value) if "dimension" in structure else value
        case [str(), *_]:
            return text(value[0])
        case None | []:
            return np.empty(0)  # an image before the first, or no texts
    return _inner(value)


def _inner(value: Value) -> object:
    """An enum, or any other structure below `value`: a table, which may have columns of these names."""
    if "choices" in value and isinstance(index := value.get("index"), int):
        labels = value["choices"]
        return Choice(index, labels[index] if 0 <= index < len(labels) else None)
    return Table(dict(value.items()))


def _image(structure: Value, pixels: np.ndarray) -> object:
    """Pixels as (height, width): the structure names the fastest dimension first."""
    if codec := structure.get("codec.name", ""):
        return Unreadable(f"an image compressed with {codec}, which is not read")
    mode = next((one["value"] for one in structure.get("attribute", ()) if one["name"] == "ColorMode"), 0)
    if mode not in GREY:
        return Unreadable(f"a colour image ({COLOURS.get(mode, mode)}), which is not read")
    shape = tuple(dimension["size"] for dimension in structure["dimension"])[::-1]
    if math.prod(shape) != pixels.size:
        return Unreadable(f"an image of {' x '.join(map(str, shape))} with {pixels.size} values")
    return pixels.reshape(shape)
