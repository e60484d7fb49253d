"""Who may write to the service's records: nobody, or whom the access security file of the site names."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from beampermit.errors import BadInput
from beampermit.live.access_groups import LIMITS, READ_ONLY, RESTART, WRITABLE
from beampermit.reading import decode

NOBODY = "{ RULE(1, READ) }"
TOKEN = re.compile(r'[ \t\r\n]+|\#[^\n\0]*|("(?:[^"\n\\\0]|\\[^\n\0])*"|[A-Za-z0-9_\-+:.\[\]<>;]+|[(){},])')
"""As EPICS has them (asLib_lex.l); what is in no group is space or a comment. A line of EPICS ends at NUL."""
LEVEL = re.compile(r"[-+]?[0-9]{1,9}")
PERMISSIONS = ("NONE", "READ", "WRITE", "RPC")
TRAPS = ("", "TRAPWRITE", "NOTRAPWRITE")


@dataclass(frozen=True)
class Rule:
    """`RULE(level, permission, trap) {...}` of a group; `line` counts from 1."""

    group: str
    level: str
    permission: str
    trap: str
    line: int
    named: bool = False
    """Whether accounts or hosts are named that it is for; otherwise it is for anybody."""


def access_rules(file: Path | None) -> str:
    """What EPICS is to read: the site's `file`, and that nobody writes to the records that it does not name.

    Raises `BadInput` for a file that would let more be written than limits and restarts, or writes go unlogged.
    """
    text = _read(file) if file else ""
    if file:
        refuse_more(text, file)
    groups = _Reading(text, file).groups
    others = [f"ASG({group}) {NOBODY}\n" for group in (READ_ONLY, *WRITABLE) if group not in groups]
    return "\n".join([text, *others])


def refuse_more(text: str, file: Path | str) -> None:
    """Raise `BadInput` for the text of a `file` that the service does not take, and where it cannot be read."""
    reading = _Reading(text, file)
    if not reading.groups & set(WRITABLE):
        raise BadInput(f"this file has neither ASG({LIMITS}) nor ASG({RESTART}): it lets nobody write", file=file)
    for rule in reading.rules:
        if wrong := _fault(rule):
            raise BadInput(wrong, file=file, line=rule.line)


def rules(text: str) -> list[Rule]:
    """The rules of an access security file, those of all groups. Raises `BadInput` where it cannot be read."""
    return _Reading(text, None).rules


class _Reading:
    """The groups and rules of a file, token by token as EPICS reads it. What cannot be read is refused."""

    def __init__(self, text: str, file: Path | str | None):
        self.groups: set[str] = set()
        self.rules: list[Rule] = []
        self._file = file
        self._left = deque(self._tokens(text))
        self._last = ("", 1)
        self._read()

    def _tokens(self, text: str) -> Iterator[tuple[str, int]]:
        """Each with its line; one in quotes keeps them, and so is no keyword."""
        place, line = 0, 1
        while place < len(text):
            found = TOKEN.match(text, place)
            if found is None:
                raise BadInput(f"EPICS cannot read {text[place]!r} here", file=self._file, line=line)
            if found[1]:
                yield found[1], line
            place, line = found.end(), line + found[0].count("\n")

    def _read(self) -> None:
        depth, group = 0, None
        while self._left:
            word = self._next()
            depth += {"{": 1, "}": -1}.get(word, 0)
            if word == "}":
                group = group if depth else None
            elif word == "ASG":
                group = self._head()[0]
                self.groups.add(group)
            elif word == "RULE":
                if group is None or depth != 1:
                    raise self._unread()
                self.rules.append(self._rule(group))

    def _rule(self, group: str) -> Rule:
        line = self._last[1]
        level, permission, trap, *more = [*self._head(), "", "", ""][:5]
        if not LEVEL.fullmatch(level) or permission not in PERMISSIONS or trap not in TRAPS or any(more):
            raise self._unread(line)
        body = self._body()
        return Rule(group, str(int(level)), permission, trap, line, "UAG" in body or "HAG" in body)

    def _head(self) -> list[str]:
        """The words in parentheses, without their quotes."""
        words: list[str] = []
        line = self._last[1]
        sign = self._next()
        while sign == ("," if words else "("):
            word, sign = self._next(), self._next()
            if word in "(){},":
                break
            words.append(word[1:-1] if word[0] == '"' else word)
        if sign != ")" or not words:
            raise self._unread(line)
        return words

    def _body(self) -> list[str]:
        """What stands in braces after a rule."""
        words: list[str] = []
        depth = 0
        while self._left and (depth or self._left[0][0] == "{"):
            words.append(self._next())
            depth += {"{": 1, "}": -1}.get(words[-1], 0)
            if words[-1] in ("ASG", "RULE"):
                raise self._unread()
            if not depth:
                break
        return words

    def _next(self) -> str:
        self._last = self._left.popleft() if self._left else ("", self._last[1])
        return self._last[0]

    def _unread(self, line: int = 0) -> BadInput:
        said = "this cannot be read; a group is ASG(NAME) { RULE(0, WRITE, TRAPWRITE) }, with READ or NONE for WRITE"
        return BadInput(said, file=self._file, line=line or self._last[1])


def _read(file: Path) -> str:
    if not file.is_file():
        raise BadInput("there is no such access security file", file=file)
    return decode(file.read_bytes(), file)


def _fault(rule: Rule) -> str:
    if rule.permission not in ("WRITE", "RPC") or rule.group not in (READ_ONLY, *WRITABLE):
        return ""
    if rule.group == READ_ONLY:
        return f"ASG({READ_ONLY}) lets write status PVs, which nobody writes but the service"
    if rule.permission != "WRITE" or rule.level != "0":
        said = f"RULE({rule.level}, {rule.permission}) lets write values too"
        return f"{said}; RULE(0, WRITE, TRAPWRITE) is for what may be changed"
    if rule.trap != "TRAPWRITE":
        return f"writes to ASG({rule.group}) would not be logged; write RULE(0, WRITE, TRAPWRITE)"
    return ""
