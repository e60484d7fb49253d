"""The commands that a page shows in ```console, ```sh and ```bash, and what the page says of how they are tested.

A line that begins with `$ ` is a command, and its output follows; in a block without such a line, each line is one. A
comment in the line above the block, which GitHub and the site do not show, is one of these; without it the block is run
(`tests/docs/test_commands_run.py`):

    <!-- not run: GitHub answers it -->
    <!-- run by tests/unit/cli/test_serve.py tests/workflows/test_demo.py -->
    <!-- exit code 1 -->

`unseen` finds commands in other fences, which nobody would run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"(?:^ *<!-- (?P<mark>[^\n]*) -->\n)?^ *```(?:console|sh|bash)\n(?P<text>.*?)^ *```$", re.M | re.S)
FENCE = re.compile(r"^ *(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)\n(?P<text>.*?)^ *(?P=fence)[`~]* *$", re.M | re.S)
NO_SHELL = {"csv", "html", "json", "mermaid", "python", "sql", "toml", "yaml"}
"""Languages whose lines are no commands. In any other fence, and in one without a language, a reader may type them."""
PROGRAMS = re.compile(
    r"(\S*/)?(act|apt|apt-get|beampermit|conda|curl|docker|dvc|gh|git|helm|kubectl|make|pip|podman|pre-commit|pytest|"
    r"python3?|sbatch|ssh|sudo|systemctl|uv|uvx)"
)
HOW = re.compile(r"^(?P<how>not run: |run by |exit code )(?P<what>.+)$")
OPERATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "<<", "(", ")", "2>"}


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    """Of its first command."""
    commands: tuple[str, ...]
    not_run: str = ""
    """Why not."""
    run_by: tuple[str, ...] = ()
    """Files with tests."""
    exit_code: int = 0
    """Of its last command, where it is run as it stands."""

    @property
    def script(self) -> str:
        return "\n".join(self.commands) + "\n"

    @property
    def runs(self) -> bool:
        return not self.not_run and not self.run_by


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text[: found.start("text")].count("\n") + 1
        yield Block(page, line, _commands(found["text"]), **_how(found["mark"], page, line))


def unseen(page: Path) -> Iterator[str]:
    """Commands in fences that `blocks` does not know: `page:line: command`."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        language = found["info"].strip().partition(" ")[0].lower()
        if language in NO_SHELL or BLOCK.match(text, found.start()):
            continue
        first = text[: found.start("text")].count("\n") + 1
        for line, words in enumerate(found["text"].splitlines(), first):
            command = words.strip().removeprefix("$ ")
            # A synopsis, which docs/commands.md is made of, is not typed.
            program = next((call[0] for call in calls(command) if call[0] != "cd"), "")
            if PROGRAMS.fullmatch(program) and "[OPTIONS]" not in command:
                yield f"{page.name}:{line}: {command}"


def _how(mark: str | None, page: Path, line: int) -> dict[str, object]:
    said = HOW.match(mark or "")
    if said is None:
        return {}
    if said["how"] == "not run: ":
        return {"not_run": said["what"]}
    return {"exit_code": int(said["what"])} if said["how"] == "exit code " else {"run_by": tuple(said["what"].split())}


def _commands(text: str) -> tuple[str, ...]:
    lines = text.replace("\\\n", "").splitlines()
    if not any(line.startswith("$ ") for line in lines):
        return tuple(line for line in lines if line.strip())
    return tuple(line.removeprefix("$ ") for line in lines if line.startswith("$ "))


def calls(command: str) -> Iterator[list[str]]:
    """The words of each program that a line starts, without variables set for it; nothing of what is not shell."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        words = list(lexer)
    except ValueError:  # a quotation that goes on in the next line
        return
    call: list[str] = []
    for word in [*words, ";"]:
        if word in OPERATORS:
            if call:
                yield call
            call = []
        elif call or not re.match(r"\w+=", word):
            call.append(word)
