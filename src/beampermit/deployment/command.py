"""The command that runs the service, as unit files and manifests have it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from beampermit.deployment.statements import Statement
from beampermit.errors import BadInput

PROGRAM = "/opt/beampermit/bin/beampermit"
PORT = 8765
MODEL = "--model"
SERVE, MONITOR = "serve", "monitor"
TRUTH = "--truth"
TRUTHS = "truth"
"""Folder of the table of truth in the service's own: there the monitor may read, whatever else is closed to it."""


def serve(name: str, state: str, access: str, http: str, registry: str, ledger: str) -> tuple[str, ...]:
    """Program, command and options."""
    return (
        PROGRAM,
        "serve",
        *(MODEL, name),
        *("--registry", registry),
        *("--ledger", ledger),
        *("--state", state),
        *("--log", f"{state}/log"),
        *("--monitor", f"{state}/monitor"),
        *("--access", access),
        *("--http", http),
    )


def monitor(name: str, state: str, registry: str, ledger: str, truth: str | None = None) -> tuple[str, ...]:
    """The same of what watches it, by its log; `state` is the service's folder, `truth` the contract's table."""
    options = {MODEL: name, "--registry": registry, "--ledger": ledger}
    options |= {"--log": f"{state}/log", "--state": f"{state}/monitor"}
    if truth:
        options[TRUTH] = f"{state}/{TRUTHS}/{PurePosixPath(truth).name}"
    return (PROGRAM, "monitor", *(word for option in options.items() for word in option))


def split(command: str, file: str, line: int) -> list[str]:
    """The words of a command, and those of a command within it, as `sh -c` has one. Raises `BadInput`."""
    try:
        words = shlex.split(command)
        return [inner for word in words for inner in (shlex.split(word) if " " in word else [word])]
    except ValueError as error:
        raise BadInput(f"this command cannot be read: {error}", file=file, line=line) from None


def statements(words: Sequence[str], line: int) -> Iterator[Statement]:
    """Which models commands serve, or watch; nothing where they do neither."""
    for verb, name in ((SERVE, MODEL), (MONITOR, f"{MODEL} of the monitor")):
        for options in _options(words, verb):
            yield Statement(name, options.get(MODEL, ""), line)
            if verb == MONITOR and options.get(TRUTH):
                yield Statement(f"{TRUTH} of the monitor", "", line)


def options_of(words: Sequence[str], command: str = SERVE) -> Mapping[str, str] | None:
    """The options of `beampermit serve` or another command, of several the last one; None where it is not there."""
    return next(_options(words, command), None)


def _options(words: Sequence[str], command: str) -> Iterator[Mapping[str, str]]:
    """Of each time that the words have the command, as a shell may have several."""
    places = [
        number
        for number, (program, verb) in enumerate(pairwise(words))
        if PurePosixPath(program).name == "beampermit" and verb == command
    ]
    for place, end in pairwise([*places, len(words)]):
        rest = list(words[place + 2 : end])
        options: dict[str, str] = {}
        for word, following in zip(rest, [*rest[1:], ""], strict=True):
            name, equals, value = word.partition("=")
            if name.startswith("--"):
                options[name] = value if equals else following
        yield options
