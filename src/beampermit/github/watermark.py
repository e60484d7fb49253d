"""The two hidden last lines of our comment: CML's watermark, by which it is found, and what it was written for.

CML finds a comment by its watermark wherever that stands, whatever the commit in it. Ours stands in an HTML comment:
nobody's browser loads the picture. What it was written for is read at the very end only, behind all a project can say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TITLE = "beampermit"
_IMAGE = "https://cml.dev/watermark.png"
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "_*[<"})
_MARK = re.compile(r"<!-- beampermit run (\d{1,18}) attempt (\d{1,9}) head ([0-9a-f]{40,64}) -->\s+\S[^\n]*\s*\Z")


@dataclass(frozen=True)
class Mark:
    """Run, its attempt, and the head commit that a comment tells about."""

    run: int
    attempt: int
    head: str

    def __str__(self) -> str:
        return f"<!-- beampermit run {self.run} attempt {self.attempt} head {self.head} -->"

    def newer_than(self, other: Mark) -> bool:
        """Whether this was written later for the same head; of another head, nothing is known."""
        return self.head == other.head and (self.run, self.attempt) > (other.run, other.attempt)


def marked(report: str, mark: Mark) -> str:
    """A comment without the last line, which CML adds itself."""
    return f"{report.rstrip()}\n\n{mark}\n"


def signed(report: str, mark: Mark, title: str = TITLE) -> str:
    """A whole comment."""
    return f"{marked(report, mark)}\n<!-- {watermark(mark.head, title)} -->\n"


def watermark(head: str, title: str = TITLE) -> str:
    """CML's watermark, as CML writes it."""
    return f'![]({_IMAGE}#{head} "{_title(title)}")'


def is_marked(body: str, title: str = TITLE) -> bool:
    """Whether this is the comment with that title, by CML or by us; where CML knows no commit it names none."""
    return re.search(rf'!\[\]\({re.escape(_IMAGE)}(?:#[0-9a-fA-F]+)? "{re.escape(_title(title))}"\)', body) is not None


def read(body: str) -> tuple[str, Mark] | None:
    """The report in a comment, and what it was written for; None where we did not write it."""
    found = _MARK.search(body)
    if found is None:
        return None
    return _plain(body[: found.start()]), Mark(int(found[1]), int(found[2]), found[3])


def says(body: str, report: str, mark: Mark) -> bool:
    """Whether a comment says this already, by whichever program it was written."""
    return read(body) == (_plain(report), mark)


def mark_of(body: str) -> Mark | None:
    """What a comment was written for; None where we did not write it."""
    found = read(body)
    return found[1] if found else None


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _title(title: str) -> str:
    return f"CML watermark {title}".strip().translate(_ESCAPED)
