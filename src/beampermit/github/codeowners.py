"""CODEOWNERS as GitHub reads it: the last line that matches counts, a line that it cannot read does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks; the first one it finds is the only one it reads."""


@dataclass(frozen=True)
class Uncovered:
    """A file whose change needs nobody's approval; `line` is what takes its owners away, if one does."""

    path: str
    line: int | None


@dataclass(frozen=True)
class CodeOwners:
    """One CODEOWNERS file."""

    file: str
    text: str

    @classmethod
    def find(cls, root: Path) -> CodeOwners | None:
        """The file that counts in a repository."""
        found = next((place for place in PLACES if (root / place).is_file()), None)
        return cls(found, (root / found).read_text(encoding="utf-8", errors="replace")) if found else None

    def uncovered(self, paths: Iterable[str]) -> tuple[Uncovered, ...]:
        """Those of `paths` that nobody owns."""
        from codeowners import CodeOwners as Parsed

        parsed = Parsed("\n".join(map(_as_github_reads_it, self.text.splitlines())))
        found = ((path, parsed.matching_line(path)) for path in paths)
        return tuple(Uncovered(path, line) for path, (owners, line, *_) in found if not owners)


def _as_github_reads_it(line: str) -> str:
    """The line without its comment; nothing of one that GitHub skips: `!` and `[a-z]` are not for CODEOWNERS."""
    words = line.split()
    ends = next((at for at, word in enumerate(words) if word.startswith("#")), len(words))
    pattern = words[0] if words else ""
    return "" if pattern.startswith("!") or "[" in pattern or "]" in pattern else " ".join(words[:ends])
