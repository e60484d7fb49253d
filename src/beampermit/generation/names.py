"""Names of signals for columns as people call them, and the units that stand in such names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 64
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
IN_SQUARE = re.compile(r"(?P<name>.*\S)\s*\[\s*(?P<unit>[^\[\]]*[^\[\]\d\s][^\[\]]*?)\s*\]\s*")
"""`x [mm]`, and not `x[0]`."""
SYMBOLS = ("m", "s", "g", "A", "V", "W", "T", "G", "Hz", "eV", "rad", "K", "C", "J", "N", "Pa", "bar", "mol", "F", "H",
           "Ohm", "Ω", "b", "l", "sr", "Wb", "S", "Gy", "Sv", "Bq")  # fmt: skip
PREFIXES = ("", *"yzafpnuµμmcdkMGTPE")
ALONE = (
    "%",
    "°",
    "°C",
    "deg",
    "degC",
    "min",
    "h",
    "d",
    "dB",
    "dBm",
    "ppm",
    "counts",
    "arb",
    "a.u.",
    "rpm",
    "pix",
    "px",
)
KNOWN = {*ALONE, *(f"{prefix}{symbol}" for prefix in PREFIXES for symbol in SYMBOLS)}
IN_ROUND = re.compile(r"(?P<name>.*\S)\s*\(\s*(?P<unit>[^()]+?)\s*\)\s*")
POWER = re.compile(r"\^?[-+]?\d*$")


def split_unit(text: str) -> tuple[str, str | None]:
    """A column's name without its unit, and the unit: `("x", "mm")` of `x [mm]` and of `x (mm)`.

    What stands in round brackets is a unit only where it is one of physics: `T (inner)` has none.
    """
    if match := IN_SQUARE.fullmatch(text):
        return match["name"], match["unit"]
    if (match := IN_ROUND.fullmatch(text)) and is_unit(match["unit"]):
        return match["name"], match["unit"]
    return text, None


def is_unit(text: str) -> bool:
    """Whether this is a unit of physics, or a product of some: `mm`, `T/m`, `m s^-1`."""
    parts = [POWER.sub("", part) for part in re.split(r"[\s/*·.]+", text) if part != "1"] if text not in KNOWN else []
    return text in KNOWN or (bool(parts) and all(part in KNOWN for part in parts))


class Names:
    """Gives each signal a name of its own, and none of `taken`."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._spelt = {_spelt(name) for name in taken}

    def take(self, text: str, otherwise: str) -> str:
        """A name as the contract has it, from `text` without its unit: as it is where that is one, else changed.

        Letters are lower-case ones of ASCII (`β` is `beta`, `ö` is `o`), all else is a hyphen. `otherwise` is for a
        text of which nothing is left. A name that is taken, maybe with a hyphen for an underscore, gets a number.
        """
        name = re.sub(r"[^a-z0-9_]+", "-", _ascii(text))
        name = re.sub(r"[-_]*-[-_]*", "-", re.sub(r"_+", "_", name)).strip("-_") or otherwise
        name = name if name[0].isalpha() else f"{otherwise.partition('-')[0]}-{name}"
        number, unique = 1, _cut(name, "")
        while _spelt(unique) in self._spelt:
            number += 1
            unique = _cut(name, f"-{number}")
        self._spelt.add(_spelt(unique))
        return unique


def _spelt(name: str) -> str:
    """What tells names apart: to SQL, `Time` and `time` are one column."""
    return name.casefold().replace("_", "-")


def _cut(name: str, end: str) -> str:
    return name[: LONGEST - len(end)].rstrip("-_") + end


def _ascii(text: str) -> str:
    return "".join(map(_letter, unicodedata.normalize("NFKD", text.casefold())))


def _letter(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.combining(character):
        return ""
    name = unicodedata.name(character, "")
    return name.rpartition(" ")[2].lower() if name.startswith("GREEK SMALL LETTER ") else "-"
