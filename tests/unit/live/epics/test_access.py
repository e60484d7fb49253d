"""Access security files: what EPICS gets to read, and which files of a site are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.live.epics.access import Rule, access_rules, rules
from support.attacks import attack_case

SOUND = """\
UAG(operators) {ada}  # ASG(LIMITS) { RULE(1, WRITE) }
ASG(OTHER) { RULE(1, WRITE) }
ASG("LIMITS") {
    RULE(1, READ)
    RULE(0, WRITE, TRAPWRITE) { UAG(operators) CALC("A#1") }
}
"""


def test_without_a_file_nobody_writes() -> None:
    found = list(rules(access_rules(None)))
    assert {rule.group for rule in found} == {"DEFAULT", "LIMITS", "RESTART"}
    assert {rule.permission for rule in found} == {"READ"}


def test_what_the_file_does_not_name_is_written_by_nobody(tmp_path: Path) -> None:
    file = tmp_path / "site.acf"
    file.write_text(SOUND)
    text = access_rules(file)
    assert text.startswith(SOUND)
    assert [rule for rule in rules(text) if rule.group != "OTHER"] == [
        Rule("LIMITS", "1", "READ", "", 4),
        Rule("LIMITS", "0", "WRITE", "TRAPWRITE", 5, 'UAG(operators) CALC("A#1")'),
        Rule("DEFAULT", "1", "READ", "", 8),
        Rule("RESTART", "1", "READ", "", 10),
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("ASG(RESTART) { RULE(0, WRITE, NOTRAPWRITE) }\n", 1, "writes to ASG(RESTART) would not be logged"),
        ("ASG(LIMITS) {}\nASG(DEFAULT) { RULE(0,WRITE,TRAPWRITE) }\n", 2, "ASG(DEFAULT) lets write status PVs"),
        ('ASG(LIMITS) { RULE(0, READ) { CALC("A#1") } RULE(1, WRITE) }\n', 1, "RULE(1, WRITE) lets write values too"),
        ("ASG(DEFAULT) { RULE(1, READ) }\n", None, "neither ASG(LIMITS) nor ASG(RESTART): it lets nobody write"),
        (None, None, "there is no such access security file"),
    ],
)
def test_a_file_that_lets_write_more_or_unseen_is_refused(
    tmp_path: Path, text: str | None, line: int | None, said: str
) -> None:
    file = tmp_path / "site.acf"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadInput) as caught:
        access_rules(file)
    assert said in caught.value.message
    assert (caught.value.file, caught.value.line) == (str(file), line)


@pytest.mark.parametrize(
    "text",
    [
        attack_case(
            "ASG(LIMITS) {\n RULE(1, WRITE, TRAPWRITE)\n}\n",
            guard="serve",
            tried="lets clients write the values of outputs, in the access security file",
            said="RULE(1, WRITE) lets write values too",
        ),
        attack_case(
            "ASG(RESTART) {\n RULE(0, WRITE)\n}\n",
            guard="serve",
            tried="lets clients write unseen, in the access security file",
            said="writes to ASG(RESTART) would not be logged",
        ),
    ],
)
def test_whoever_writes_the_access_file_opens_no_more_than_limits(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "site.acf"
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        access_rules(file)
    assert said in caught.value.message
    assert caught.value.line == 2
