"""CODEOWNERS as GitHub reads it: the last matching line counts, and a line that GitHub cannot read is skipped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""GitHub reads the first of these that exists, and no other."""


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
        """The file that GitHub reads in the repository at `root`."""
        file = next((place for place in PLACES if (root / place).is_file()), None)
        return cls(file, (root / file).read_text(encoding="utf-8", errors="replace")) if file else None

    def uncovered(self, paths: Iterable[str]) -> tuple[Uncovered, ...]:
        """Those of `paths` that nobody owns."""
        from codeowners import CodeOwners as Parsed

        parsed = Parsed("\n".join(map(_as_github_reads_it, self.text.splitlines())))
        matches = ((path, parsed.matching_line(path)) for path in paths)
        return tuple(Uncovered(path, line) for path, (owners, line, *_) in matches if not owners)


def _as_github_reads_it(line: str) -> str:
    """The line without its comment; empty for a pattern with `!` or `[a-z]`, which GitHub skips."""
    parts = line.split()
    end = next((at for at, part in enumerate(parts) if part.startswith("#")), len(parts))
    pattern = parts[0] if parts else ""
    return "" if pattern.startswith("!") or "[" in pattern or "]" in pattern else " ".join(parts[:end])
