"""How the contract writes the PV of an input: `NAME`, `pva://NAME`, `ca://NAME`, and `NAME#COLUMN` of a table."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from beampermit.contract import FILE_NAME
from beampermit.errors import BadInput

Protocol = Literal["pva", "ca"]
PROTOCOLS: dict[str | None, tuple[Protocol, ...]] = {None: ("pva", "ca"), "pva": ("pva",), "ca": ("ca",)}
"""As it is written -> in the order in which they are asked."""
WRITTEN = re.compile(r"(?:(?P<protocol>[a-z]+)://)?(?P<name>(?:(?!://)[^\s#])+)(?:#(?P<column>\S+))?")

LONGEST = 1000
"""Bytes of a name: what libca puts into one packet."""


class Address(NamedTuple):
    name: str
    protocols: tuple[Protocol, ...]
    column: str = ""

    @property
    def whole(self) -> Address:
        """The PV that is subscribed: of a column, its table."""
        return self._replace(column="")


def parse_address(pv: str) -> Address:
    """Raises `BadInput` for a protocol that EPICS does not have, and for a column over CA, which knows no tables."""
    written = WRITTEN.fullmatch(pv)
    if not written:
        raise BadInput(f"{pv!r} is no name of a PV", file=FILE_NAME, hint="write NAME, pva://NAME or NAME#COLUMN")
    protocol, name, column = written["protocol"], written["name"], written["column"] or ""
    if len(name.encode()) > LONGEST:
        raise BadInput(f"{name[:20]!r}... is a name of more than {LONGEST} bytes", file=FILE_NAME)
    if protocol not in PROTOCOLS:
        raise BadInput(f"{pv!r} has protocol {protocol}; EPICS has pva and ca", file=FILE_NAME)
    protocols = PROTOCOLS[protocol]
    if column and "pva" not in protocols:
        raise BadInput(f"{pv!r} is a column of a table, which only pva has", file=FILE_NAME)
    return Address(name, ("pva",) if column else protocols, column)
