"""One requirement, from `pyproject.toml` or as `uv.lock` recorded it, so that the two can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from beampermit.environments.markers import same
from beampermit.environments.uv.specification import FILE, normal
from beampermit.errors import BadInput


@dataclass(frozen=True)
class Asked:
    """A name, with what it is narrowed by. `index` is a URL; `elsewhere` names a source that is no index."""

    name: str
    specifier: SpecifierSet
    extras: frozenset[str] = frozenset()
    marker: str | None = None
    index: str | None = None
    elsewhere: str | None = None

    def equals(self, other: Asked) -> bool:
        """Whether both ask for the same, markers compared by meaning. Raises `Unjudged`."""
        mine = (self.name, self.specifier, self.extras, self.index, self.elsewhere)
        theirs = (other.name, other.specifier, other.extras, other.index, other.elsewhere)
        return mine == theirs and same(self.marker, other.marker)

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        source = self.index or self.elsewhere
        return "".join(
            (
                self.name,
                extras,
                str(self.specifier),
                f" from {source}" if source else "",
                f"; {self.marker}" if self.marker else "",
            )
        )


def from_text(words: str, *, extra: str | None = None, index: str | None = None, elsewhere: str | None = None) -> Asked:
    """Read a requirement as it is written; `extra` is the extra it stands under. Raises `BadInput`."""
    try:
        found = Requirement(words)
    except InvalidRequirement as error:
        raise BadInput(f"{words!r} is not a requirement: {str(error).splitlines()[0]}", file=FILE) from None
    marker = str(found.marker) if found.marker else None
    if extra:
        under = f'extra == "{normal(extra)}"'
        marker = f"({marker}) and {under}" if marker else under
    return Asked(
        normal(found.name),
        found.specifier,
        frozenset(map(normal, found.extras)),
        marker,
        index,
        found.url or elsewhere,
    )


def from_table(table: dict[str, Any]) -> Asked:
    """Read a requirement as the lock has it. Raises `BadInput`."""
    try:
        specifier = SpecifierSet(table.get("specifier", ""))
    except InvalidSpecifier as error:
        raise BadInput(f"not a version specifier: {error}", file="uv.lock", hint="beampermit env lock") from None
    places = [str(table[kind]) for kind in ("git", "url", "path", "directory", "editable", "virtual") if kind in table]
    return Asked(
        normal(str(table["name"])),
        specifier,
        frozenset(map(normal, table.get("extras", ()))),
        table.get("marker"),
        table.get("index"),
        places[0] if places else None,
    )
