"""`beampermit new` in a terminal of 80 columns, driven as a person does it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from beampermit.contract import load_contract

pytestmark = pytest.mark.slow

WAIT = 60
Start = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("--example", "table")`: the command in a terminal; ends with the test."""
    begun: list[pexpect.spawn[str]] = []

    def run(*words: str, command: str = "") -> pexpect.spawn[str]:
        program = Path(sys.executable).parent / "beampermit"
        line = command or shlex.join(["beampermit", "new", "--no-lock", "-o", str(tmp_path / "made"), *words])
        child = pexpect.spawn(
            "/bin/sh",
            ["-c", re.sub(r"^beampermit", f"exec {shlex.quote(str(program))}", line)],
            dimensions=(50, 80),
            encoding="utf-8",
            timeout=WAIT,
            env={**os.environ, "TERM": "dumb", "PATH": os.environ["PATH"]},
            cwd=str(tmp_path),
        )
        begun.append(child)
        return child

    yield run
    for child in begun:
        child.close(force=True)


def answer(child: pexpect.spawn[str], question: str, typed: str) -> str:
    """Wait for the question, and answer it; what was printed before it, no line of it wider than the terminal."""
    child.expect(rf"\r?\n  {question} ?[^\r\n]*: $")
    child.sendline(typed)
    printed = str(child.before)
    assert max(map(len, printed.splitlines())) <= 80
    return printed


def test_questions_are_skipped_asked_again_and_answered_by_number_or_beginning(start: Start, tmp_path: Path) -> None:
    child = start("--answer", "deputy_name=Bo", "--answer", "dvc_remote=../storage")
    answer(child, "example", "4")
    assert "'4' is not one of" in answer(child, "example", "inj")
    assert "example = injector-surrogate" in answer(child, "library", "2")
    answer(child, "project_slug", "My Model")
    assert "'My Model' must be lower-case words" in answer(child, "project_slug", "my-model")
    answer(child, "package_name", "")
    answer(child, "summary", "\u592a\u90ce \U00020bb7 Joa\u0303o")
    assert "Enter leaves a TODO" in answer(child, "maintainer_name", "Ada")
    answer(child, "maintainer_email", "ada@lab.org")
    answer(child, "deputy_email", "Ada@lab.org")
    assert "maintainer and deputy have the same address" in answer(child, "deputy_email", "bo@lab.org")
    answer(child, "code_owners", "@ada, bo@lab.org")
    assert "'@ada,' is neither @login, @" in answer(child, "code_owners", "@ada @lab/models bo@lab.org")
    for question in ("on_call", "logbook", "review_by"):
        answer(child, question, "")
    answer(child, "python_version", "3.1")
    assert "'3.1' may be 3.11 or" in answer(child, "python_version", "3.12")
    answer(child, "environment", "uv")  # neither accelerator nor an index of PyTorch: XGBoost runs on cpu alone
    answer(child, "container_image", "")
    answer(child, "beampermit_repository", "")
    child.expect(pexpect.EOF)
    ending = str(child.before)
    child.close()
    assert child.exitstatus == 0, ending
    project = tmp_path / "made/my-model"
    assert "*                   @ada @lab/models bo@lab.org\n" in (project / "CODEOWNERS").read_text()
    assert load_contract(project).model.summary == "\u592a\u90ce \U00020bb7 Joa\u0303o"
    assert (project / "uv.lock").exists() is False
    steps = [line.strip() for line in ending.partition("Next steps:")[2].splitlines() if line.startswith("  ")]
    assert steps == [
        f"cd {project}",
        "beampermit env lock",
        "beampermit env install",
        "make reproduce",
        "make push",
        'git add --all && git commit -m "The first model"',
        "make check",
    ]
    assert "Still TODO: on_call, logbook." in ending


LEFT = [("c", 130, "interrupted"), ("d", 2, "the input ended before an answer to 'maintainer_name'")]


@pytest.mark.parametrize(("key", "code", "said"), LEFT)
def test_a_command_that_is_left_says_how_to_go_on(key: str, code: int, said: str, start: Start) -> None:
    child = start("--example", "loss-anomaly")
    answer(child, "project_slug", "ring-loss")
    answer(child, "package_name", "")
    answer(child, "summary", "it's $HOME `x` \u592a\u90ce")
    child.expect(r"maintainer_name [^\r\n]*: $")
    child.sendcontrol(key)
    child.expect(pexpect.EOF)
    child.close()
    lines = str(child.before).replace("\r", "").splitlines()
    assert child.exitstatus == code
    assert any(said in line for line in lines)
    assert not any("Traceback" in line for line in lines)
    command = lines[lines.index("To go on with the answers so far:") + 1].strip()
    assert shlex.split(command)[-3:] == [
        "--answer=project_slug=ring-loss",
        "--answer=package_name=ring_loss",
        "--answer=summary=it's $HOME `x` \u592a\u90ce",
    ]
    if key == "c":
        again = start(command=command)
        again.expect(r"\n  ([a-z_]+) [^\r\n]*: $")
        assert again.match.group(1) == "maintainer_name"  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--answer", "review_by=soon"), "review_by: 'soon' is not a date"),
        (("--library", "xgboost", "--answer", "accelerator=cuda"), "library: xgboost is there for cpu alone"),
        (("--example", "table"), "example: table is made by beampermit new --from-table"),
        (("--answer", "project_slug=there"), "project_slug: the folder made/there already exists"),
    ],
)
def test_a_wrong_answer_that_is_given_is_refused_before_any_question(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    from support.forked_commands import beampermit

    (tmp_path / "made/there").mkdir(parents=True)
    done = beampermit("new", "-o", "made", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"beampermit: {said}")
