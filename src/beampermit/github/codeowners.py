"""CODEOWNERS as GitHub reads it: the last matching line counts, and a line that GitHub cannot read is skipped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract.completeness import unwritten
from beampermit.errors import Failed

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""GitHub reads the first of these that exists, and no other."""
LARGEST = 3 * 10**6
"""GitHub reads no file that is larger."""
_OTHER_SPACE = re.compile(r"[^\S \t]")
"""White space that separates for Python, and not for GitHub: it is part of the pattern or the owner."""


@dataclass(frozen=True)
class Uncovered:
    """A file that nobody owns; `line` is the line that removes its owners, if there is one."""

    path: str
    line: int | None


@dataclass(frozen=True)
class CodeOwners:
    """One CODEOWNERS file."""

    file: str
    text: str

    @classmethod
    def find(cls, root: Path) -> CodeOwners | None:
        """The file that GitHub reads in the repository at `root`. Raises `Failed` for one that it does not read."""
        file = next((place for place in PLACES if (root / place).is_file() or (root / place).is_symlink()), None)
        if file is None:
            return None
        if (root / file).is_symlink():
            raise Failed("this is a link, which GitHub does not follow, so nobody owns anything", file=file)
        content = (root / file).read_bytes()
        if len(content) > LARGEST:
            raise Failed(f"{len(content)} bytes; GitHub reads none above {LARGEST}, so nobody owns anything", file=file)
        return cls(file, content.decode(errors="replace"))

    @property
    def owners(self) -> tuple[str, ...]:
        """Each once: accounts, teams and addresses that own anything."""
        lines = (_as_github_reads_it(line).split() for line in self.text.split("\n"))
        return tuple(dict.fromkeys(owner for parts in lines for owner in parts[1:] if "@" in owner))

    def placeholders(self) -> tuple[tuple[str, int], ...]:
        """Owners that were never written, and their lines: the template's TODO, or an address of no real domain."""
        lines = ((number, _as_github_reads_it(line).split()) for number, line in enumerate(self.text.split("\n"), 1))
        return tuple((owner, number) for number, parts in lines for owner in parts[1:] if _is_unwritten(owner))

    def uncovered(self, paths: Iterable[str]) -> tuple[Uncovered, ...]:
        """Those of `paths` that nobody owns."""
        from codeowners import CodeOwners as Parsed

        parsed = Parsed("\n".join(map(_as_github_reads_it, self.text.split("\n"))))
        matches = ((path, parsed.matching_line(path)) for path in paths)
        return tuple(Uncovered(path, line) for path, (owners, line, *_) in matches if not owners)


def _is_unwritten(owner: str) -> bool:
    """Accounts and teams (`@lab/todo`) may have any name."""
    return "@" in owner[1:] and bool(unwritten(owner))


def _as_github_reads_it(line: str) -> str:
    """The line without its comment; empty for a pattern with `!` or `[a-z]`, which GitHub skips, or with odd spaces."""
    line = line.removesuffix("\r")
    if _OTHER_SPACE.search(line):
        return ""
    parts = line.split()
    end = next((at for at, part in enumerate(parts) if part.startswith("#")), len(parts))
    pattern = parts[0] if parts else ""
    return "" if pattern.startswith("!") or "[" in pattern or "]" in pattern else " ".join(parts[:end])
