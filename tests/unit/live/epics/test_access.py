"""Access security files: what EPICS gets to read, and which files of a site are refused."""

from __future__ import annotations

import re
import subprocess
import sys
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
        Rule("LIMITS", "0", "WRITE", "TRAPWRITE", 5, named=True),
        Rule("DEFAULT", "1", "READ", "", 8),
        Rule("RESTART", "1", "READ", "", 10),
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("ASG(RESTART) { RULE(0, WRITE, NOTRAPWRITE) }\n", 1, "writes to ASG(RESTART) would not be logged"),
        ("ASG(LIMITS) {}\nASG(DEFAULT) { RULE(0,WRITE,TRAPWRITE) }\n", 2, "ASG(DEFAULT) lets write status PVs"),
        ('ASG(LIMITS) { RULE(0, READ) { CALC("A#1") } RULE(1, WRITE) }\n', 1, "RULE(1, WRITE) lets write values too"),
        ("ASG(LIMITS) {\n RULE(1, RPC) }\n", 2, "RULE(1, RPC) lets write values too"),
        ("ASG(LIMITS) {\n RULE(0, RPC, TRAPWRITE) }\n", 2, "RULE(0, RPC) lets write values too"),
        ('ASG(LIMITS) {}\nASG("DEFAULT") { RULE(0,"WRITE") }\n', 2, "ASG(DEFAULT) lets write status PVs"),
        ("ASG(LIMITS) {}\nASG(DEFAULT)\n{ RULE#\n(0,#\nWRITE) }\n", 3, "ASG(DEFAULT) lets write status PVs"),
        ("ASG(LIMITS) {\n RULE(1, WRITES)\n}\n", 2, "this cannot be read; a group is ASG(NAME) {"),
        ("ASG(LIMITS) {\n RULE(0, WRITE, TRAPWRITE, READ)\n}\n", 2, "this cannot be read"),
        ("ASG(LIMITS) {\n RULE(0, WRITE, TRAP)\n}\n", 2, "this cannot be read"),
        ("ASG(LIMITS) {\n RULE(A, WRITE)\n}\n", 2, "this cannot be read"),
        ("ASG(LIMITS) {\n RULE(0 WRITE)\n}\n", 2, "this cannot be read"),
        ("ASG(LIMITS) {\n RULE(0, WRITE, TRAPWRITE) {\n RULE(1, WRITE) }\n}\n", 3, "this cannot be read"),
        ("ASG(LIMITS) {}\nRULE(1, WRITE)\n", 2, "this cannot be read"),
        ("ASG(LIMITS) {\n RULE(1,", 2, "this cannot be read"),
        ("ASG(LIMITS) {}\nASG()", 2, "this cannot be read"),
        ("ASG(LIMITS) {}\n# \0\n", 2, "EPICS cannot read '\\x00' here"),
        ("ASG(LIMITS) {}\nASG(DEFAULT) { RULE(1,\u00a0WRITE) }\n", 2, "EPICS cannot read '\\xa0' here"),
        ('ASG(LIMITS) {}\nUAG("a) {b}\n', 2, "EPICS cannot read '\"' here"),
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
        attack_case(
            'ASG(LIMITS) {\n RULE(1, "WRITE", TRAPWRITE)\n}\n',
            guard="serve",
            tried="lets clients write the values of outputs by a rule with quotes, in the access security file",
            said="RULE(1, WRITE) lets write values too",
        ),
        attack_case(
            "ASG(LIMITS) {\n RULE(+1, WRITE, TRAPWRITE)\n}\n",
            guard="serve",
            tried="lets clients write the values of outputs by a rule with a sign, in the access security file",
            said="RULE(1, WRITE) lets write values too",
        ),
        attack_case(
            'ASG(LIMITS) {\n RULE(0, WRITE, "NOTRAPWRITE")\n}\n',
            guard="serve",
            tried="lets clients write unseen by a rule with quotes, in the access security file",
            said="writes to ASG(LIMITS) would not be logged",
        ),
        attack_case(
            'ASG(LIMITS) { RULE(0, READ) { CALC("1 \\" # 1") }\n RULE(1, WRITE) }\n',
            guard="serve",
            tried="hides a rule behind a quote in quotes, in the access security file",
            said="RULE(1, WRITE) lets write values too",
        ),
        attack_case(
            'ASG(LIMITS) { RULE(0, READ) { CALC("ASG(OTHER)") }\n RULE(1, WRITE) }\n',
            guard="serve",
            tried="makes a rule look like one of another group, in the access security file",
            said="RULE(1, WRITE) lets write values too",
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


SPELLINGS = [
    "RULE(1, WRITE)",
    'RULE(1, "WRITE")',
    "RULE(+1, WRITE)",
    "RULE(01, WRITE)",
    'RULE("1", WRITE)',
    'RULE(0, WRITE, "TRAPWRITE")',
    'RULE(0, WRITE, "NOTRAPWRITE")',
    "RULE(4294967297, WRITE)",
    "RULE(1, RPC)",
    "RULE(1, write)",
    "rule(1, WRITE)",
    '"RULE"(1, WRITE)',
    "RULE\n(#\n1\t,\rWRITE\n)",
    "RULE(1, WRITE) { FOO(x) }",
    "RULE(0, READ) { FOO(RULE) RULE(1) }",
    'INPA("a \\" # b") RULE(1, WRITE)',
    'INPA("#") RULE(1, WRITE)',
    "INPA(a;b<c>) RULE(1, WRITE)",
    'RULE(1, READ) { CALC("1") } # " \n RULE(1, WRITE)',
    "} FOO(x) { RULE(1, WRITE)",
    '} ASG("x") { RULE(1, WRITE)',
    '} ASG("\\"") { RULE(1, WRITE)',
    "RULE(1, WRITE) % ",
]
EPICS = """
import ctypes, sys
from epicscorelibs.path import get_lib
com = ctypes.CDLL(get_lib("Com"))
com.asInitMem.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
com.asDumpRules.argtypes = [ctypes.c_char_p]
libc = ctypes.CDLL(None)
for text in sys.stdin.read().split("\\0"):
    if not com.asInitMem(text.encode(), None):
        com.asDumpRules(None)
    libc.fflush(None)
    print("END", flush=True)
"""
DUMPED = re.compile(r"^\tRULE\((\d+),(\w+),(\w+)\)", re.MULTILINE)


@pytest.mark.slow
def test_rules_are_those_that_epics_reads() -> None:
    pytest.importorskip("epicscorelibs")
    texts = [f"UAG(u) {{ada}}\nASG(LIMITS) {{ {spelling}\n }}\n" for spelling in SPELLINGS]
    run = subprocess.run(
        [sys.executable, "-c", EPICS], input="\0".join(texts), capture_output=True, text=True, check=True
    )
    of_epics = [DUMPED.findall(part) for part in run.stdout.split("END\n")]
    assert len(of_epics) == len(texts) + 1
    assert sum(map(bool, of_epics)) > 10
    for text, read in zip(texts, of_epics, strict=False):
        try:
            ours = [(rule.level, rule.permission, rule.trap or "NOTRAPWRITE") for rule in rules(text)]
        except BadInput:  # what we cannot read is refused
            continue
        open_of_epics = {rule for rule in read if rule[1] in ("WRITE", "RPC")}
        assert open_of_epics <= set(ours), text
