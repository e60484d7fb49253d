"""`beampermit update` as a person sees it: a new question in a terminal, and what is printed of a template."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pexpect
import pytest

from beampermit.cli.update import _print_check, _print_done
from beampermit.git import Git
from beampermit.updating.recorded import ANSWERS
from beampermit.updating.staged import Change, Staged
from beampermit.updating.update import Outcome
from support.forked_commands import beampermit

STAGED = Staged(
    old="1",
    new="2 \x1b[31m",
    changes=(Change(path="a", before="x", after=None),),
    conflicts=("a b.yaml",),
    stages=(),
    notes=(),
)


@pytest.fixture
def unanswered(git: Git) -> Git:
    """A project of an older template, which asked less: the installed one asks for the summary."""
    file = git.root / ANSWERS
    record = json.loads(file.read_text())
    record["beampermit"] |= {"version": "0.0.1", "template": f"sha256:{'0' * 64}"}
    for name in ("summary", "review_by"):
        del record["context"]["cookiecutter"][name]
    file.write_text(json.dumps(record))
    git("commit", "--quiet", "--all", "--message", "Of an older template")
    return git


@pytest.mark.slow
def test_a_question_stands_still_and_what_was_answered_is_told(unanswered: Git) -> None:
    program = Path(sys.executable).parent / "beampermit"
    env = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(unanswered.root / "src")}
    child = pexpect.spawn(
        str(program), ["update"], cwd=str(unanswered.root), env=env, encoding="utf-8", timeout=30, dimensions=(50, 80)
    )
    child.expect(r"\n  summary[^\r\n]*: $")
    assert child.expect(["\x1b\\[2K", pexpect.TIMEOUT], timeout=1) == 1  # what wipes the line of the prompt
    child.sendline("it's it")
    child.expect(r"\n  review_by [^\r\n]*: $")
    child.sendcontrol("c")
    child.expect(pexpect.EOF)
    child.close()
    lines = str(child.before).replace("\r", "").splitlines()
    assert child.exitstatus == 130
    command = lines[lines.index("To go on with the answers so far:") + 1].strip()
    assert shlex.split(command) == ["beampermit", "update", "--answer=summary=it's it"]
    assert unanswered("status", "--porcelain") == ""
    looked = beampermit("update", "--check", "--json", "--answer", "summary=it's it", cwd=unanswered.root)
    assert (looked.returncode, [*json.loads(looked.stdout)["defaults"]]) == (1, ["review_by"])


def test_what_a_template_says_is_plain_and_commands_can_be_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = Outcome("1 \x1b[1m", "2 \x1b[31m", "newer", STAGED, changes=("- \x1b]0;red\x07", "  below"))
    _print_check(done)
    _print_done(done, tmp_path)
    _print_done(Outcome("1", "2 \x1b[31m", "same"), tmp_path / "there")
    _print_done(done, tmp_path / "not here")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\n    below\n" in printed
    assert "When each is right: git add 'a b.yaml'\n" in printed
    assert f"When each is right: git -C '{tmp_path}/not here' add 'a b.yaml'\n" in printed
    _print_check(Outcome("1", "2", "newer", STAGED, unfinished=True))
    assert "an update to the template of 2 was interrupted; beampermit update finishes it" in capsys.readouterr().out


def test_a_version_that_is_asked_for_is_named_in_the_command_also_an_older_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for difference, to, said in (
        ("newer", "", "the template of 1 can be updated to 2; beampermit update\n"),
        ("newer", "v2 x", "the template of 1 can be updated to 2; beampermit update --to 'v2 x'\n"),
        ("older", "v2", "the template of 1 can be set back to 2; beampermit update --to v2\n"),
        ("same", "v2", "the template of 2 is there; with these answers it changes files: beampermit update --to v2\n"),
    ):
        _print_check(Outcome("1", "2", difference, STAGED), to)  # pyright: ignore[reportArgumentType]
        printed = capsys.readouterr().out
        assert printed.startswith(said), printed
        assert "  conflict a b.yaml\n" in printed
    _print_check(Outcome("2", "1", "older"))
    assert capsys.readouterr().out == "nothing newer here: the project has the template of 2, this installation 1\n"
