"""Whom GitHub does not know of the owners in CODEOWNERS: accounts, teams and addresses without write access."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from beampermit.github.client import Answer, Client, Refused, parse_answer
from beampermit.github.codeowners import CodeOwners

UNKNOWN = "Unknown owner"
MAIL = (
    "an address works for no account that an enterprise manages, and for others only where it is public or verified:"
    " write @login or @organization/team"
)


class OwnerError(Answer):
    """What GitHub says of one place in CODEOWNERS; `source` is the line there."""

    line: int
    column: int
    kind: str
    source: str = ""
    message: str = ""

    @property
    def owner(self) -> str:
        """Whom it is about; empty where it is about the line."""
        if self.kind != UNKNOWN or self.column < 1:
            return ""
        return next(iter(self.source[self.column - 1 :].split()), "")

    def __str__(self) -> str:
        if not self.owner:
            return f"line {self.line}: GitHub skips this line: {self.kind}"
        more = f"; {MAIL}" if "@" in self.owner[1:] else ""
        why = "is unknown to GitHub, or may not write to the repository"
        return f"line {self.line}: {self.owner} {why}{more}"


@dataclass(frozen=True)
class OwnerErrors:
    """All of one branch or commit."""

    errors: tuple[OwnerError, ...]

    def leave(self, owners: CodeOwners) -> CodeOwners:
        """CODEOWNERS without those whom GitHub does not know, where its line is the one that GitHub read."""
        of_line = defaultdict[int, list[OwnerError]](list)
        for error in self.errors:
            of_line[error.line].append(error)
        lines = owners.text.split("\n")
        for number, errors in of_line.items():
            same = 0 < number <= len(lines) and lines[number - 1].strip() == errors[0].source.strip()
            if same:
                lines[number - 1] = _without(lines[number - 1], errors)
        return CodeOwners(owners.file, "\n".join(lines))


def _without(line: str, errors: list[OwnerError]) -> str:
    unknown = {error.owner for error in errors}
    if "" in unknown:
        return ""
    return " ".join(part for number, part in enumerate(line.split()) if not number or part not in unknown)


def load_owner_errors(client: Client, revision: str = "") -> OwnerErrors | None:
    """What GitHub says of CODEOWNERS at a branch, tag or commit, or on the default branch; None where it does not say.

    It needs the right to read contents, and a server of 3.6 or later. Raises `Outside` where GitHub does not answer.
    """
    try:
        answer = client.get("/codeowners/errors", **({"ref": revision} if revision else {}))
    except Refused as refused:
        if refused.denied:
            return None
        raise
    rows = answer.get("errors") if isinstance(answer, dict) else None
    return OwnerErrors(tuple(parse_answer(OwnerError, row) for row in rows)) if isinstance(rows, list) else None
