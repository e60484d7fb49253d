"""Who may write: an access security file of EPICS, in which nobody may until names are filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from beampermit.deployment.deployment import Deployment
from beampermit.deployment.rendering import render
from beampermit.deployment.statements import Statement
from beampermit.errors import BadInput
from beampermit.live.access_groups import READ_ONLY, WRITABLE
from beampermit.live.status_pvs import status_pv

NAMED = "those who are named, if anybody, and each put is logged"
TOKEN = re.compile(r'\s+|#[^\n]*|(?P<word>"[^"\n]*"|[A-Za-z0-9_.:;<>\[\]+/-]+)|(?P<sign>[(){},])')


def access(deployment: Deployment) -> str:
    return render("access.acf.j2", deployment, groups=WRITABLE, restart=status_pv(deployment.contract, "RESTART"))


def access_statements(text: str, file: str) -> Iterator[Statement]:
    """For each group of records, who may write. Raises `BadInput` for a file that EPICS could not read either."""
    tokens = list(_tokens(text, file))
    found = {group: Statement(_about(group), NAMED, 1) for group in (READ_ONLY, *WRITABLE)}
    for number, (word, line) in enumerate(tokens):
        if word == "ASG":
            name, body = _definition(tokens, number, file)
            faults = filter(None, (_fault(name, rule) for rule in _rules(body)))
            found[name] = Statement(_about(name), next(faults, NAMED), line)
    yield from found.values()


def _about(group: str) -> str:
    return f"who may write to {group}"


Token = tuple[str, int]


def _tokens(text: str, file: str) -> Iterator[Token]:
    place = 0
    while place < len(text):
        line = text.count("\n", 0, place) + 1
        match = TOKEN.match(text, place)
        if match is None:
            raise BadInput(f"not an access security file: {text[place]!r} means nothing here", file=file, line=line)
        if word := match["word"] or match["sign"]:
            yield word.strip('"'), line
        place = match.end()


def _definition(tokens: list[Token], start: int, file: str) -> tuple[str, list[str]]:
    """The name in brackets after `start`, and the words between the braces that follow."""
    words = [word for word, _ in tokens[start + 1 :]]
    if len(words) < 3 or (words[0], words[2]) != ("(", ")"):
        raise BadInput("not an access security file: ASG has no name", file=file, line=tokens[start][1])
    body, depth = list[str](), 0
    for word in words[3:]:
        depth += {"{": 1, "}": -1}.get(word, 0)
        if depth <= 0:
            break
        body.append(word)
    return words[1], body[1:]


def _rules(body: list[str]) -> Iterator[list[str]]:
    """The words of each rule."""
    starts = [number for number, word in enumerate(body) if word == "RULE"]
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        yield body[start:end]


def _fault(group: str, rule: list[str]) -> str:
    head = rule[: rule.index(")") + 1] if ")" in rule else rule
    if "WRITE" not in head:
        return ""
    if group == READ_ONLY:
        return "somebody"
    if not {"UAG", "HAG"} & set(rule[len(head) :]):
        return "anybody"
    if head[2] != "0":
        return "somebody who writes values too: RULE(0, WRITE, TRAPWRITE) is for limits"
    return "" if "TRAPWRITE" in head else "somebody whose puts are not logged: RULE(0, WRITE, TRAPWRITE)"
