"""Who may write to the service's records: nobody, or whom the access security file of the site names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from beampermit.errors import BadInput
from beampermit.live.access_groups import LIMITS, READ_ONLY, RESTART, WRITABLE
from beampermit.reading import decode

NOBODY = "{ RULE(1, READ) }"
COMMENT = re.compile(r'("[^"\n]*")|#[^\n]*')
"""In quotes, as in CALC("A#1"), the sign means something else."""
GROUP = re.compile(r"\bASG\s*\(\s*\"?([^\s\")]*)\"?\s*\)")
RULE = re.compile(r"\bRULE\s*\(\s*(\w+)\s*,\s*(\w+)\s*(?:,\s*(\w+)\s*)?\)(?:\s*\{([^}]*)\})?")


@dataclass(frozen=True)
class Rule:
    """`RULE(level, permission, trap) {whom}` of a group; `line` counts from 1."""

    group: str
    level: str
    permission: str
    trap: str
    line: int
    whom: str = ""
    """Who must write, from where and under what condition; empty where anybody may."""


def access_rules(file: Path | None) -> str:
    """What EPICS is to read: the site's `file`, and that nobody writes to the records that it does not name.

    Raises `BadInput` for a file that would let more be written than limits and restarts, or writes go unlogged.
    """
    text = _read(file) if file else ""
    if file:
        refuse_more(text, file)
    groups = _groups(text)
    others = [f"ASG({group}) {NOBODY}\n" for group in (READ_ONLY, *WRITABLE) if group not in groups]
    return "\n".join([text, *others])


def refuse_more(text: str, file: Path | str) -> None:
    """Raise `BadInput` for the text of a `file` that the service does not take."""
    if not _groups(text) & set(WRITABLE):
        raise BadInput(f"this file has neither ASG({LIMITS}) nor ASG({RESTART}): it lets nobody write", file=file)
    for rule in rules(text):
        if wrong := _fault(rule):
            raise BadInput(wrong, file=file, line=rule.line)


def rules(text: str) -> Iterator[Rule]:
    """The rules of an access security file, those of all groups."""
    plain = _without_comments(text)
    starts = list(GROUP.finditer(plain))
    ends = [start.start() for start in starts[1:]] + [len(plain)]
    for group, end in zip(starts, ends, strict=False):  # without a group there is still an end
        for found in RULE.finditer(plain, group.end(), end):
            line = plain.count("\n", 0, found.start()) + 1
            yield Rule(group[1], found[1], found[2], found[3] or "", line, (found[4] or "").strip())


def _groups(text: str) -> set[str]:
    return set(GROUP.findall(_without_comments(text)))


def _without_comments(text: str) -> str:
    return COMMENT.sub(lambda found: found[1] or "", text)


def _read(file: Path) -> str:
    if not file.is_file():
        raise BadInput("there is no such access security file", file=file)
    return decode(file.read_bytes(), file)


def _fault(rule: Rule) -> str:
    if rule.permission != "WRITE" or rule.group not in (READ_ONLY, *WRITABLE):
        return ""
    if rule.group == READ_ONLY:
        return f"ASG({READ_ONLY}) lets write status PVs, which nobody writes but the service"
    if rule.level != "0":
        return f"RULE({rule.level}, WRITE) lets write values too; RULE(0, WRITE, TRAPWRITE) is for what may be changed"
    if rule.trap != "TRAPWRITE":
        return f"writes to ASG({rule.group}) would not be logged; write RULE(0, WRITE, TRAPWRITE)"
    return ""
