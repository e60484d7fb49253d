"""The service on a host: a systemd unit, and a process of procServ."""

from __future__ import annotations

import configparser
import math
import re
from collections.abc import Iterator

from beampermit.deployment import command
from beampermit.deployment.deployment import Deployment
from beampermit.deployment.rendering import render
from beampermit.deployment.statements import Statement
from beampermit.errors import BadInput

SECONDS = {"us": 1e-6, "ms": 1e-3, "": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
MIB = {"": 2**-20, "K": 2**-10, "M": 1, "G": 2**10, "T": 2**20}
LINE = re.compile(r"\s*([A-Za-z]+)\s*=\s*(.*)")


def systemd(deployment: Deployment) -> str:
    return render("unit.service.j2", deployment, words=_words(deployment.name, "${REGISTRY}", "${LEDGER}"))


def monitor(deployment: Deployment) -> str:
    """The unit of what watches the service: the same user, who reads its prediction log."""
    truth = deployment.contract.monitoring.truth
    words = command.monitor(deployment.name, f"/var/lib/{deployment.name}", "${REGISTRY}", "${LEDGER}", truth)
    return render("monitor.service.j2", deployment, words=words)


def command_statements(text: str, file: str) -> Iterator[Statement]:
    """Which models a unit serves or watches. Raises `BadInput` for a command that cannot be read."""
    for value, line in _commands(text):
        yield from command.statements(command.split(value, file, line), line)


def systemd_statements(text: str, file: str) -> Iterator[Statement]:
    """Raises `BadInput` for a command that cannot be read."""
    yield from command_statements(text, file)
    last = {key: (value, line) for key, value, line in _settings(text)}
    for key, (value, line) in last.items():
        match key:
            case "Type":
                yield Statement(key, value, line)
            case "WatchdogSec":
                yield Statement(key, _seconds(value), line, at_least=True)
            case "MemoryMax":
                yield Statement(key, _mib(value), line, at_least=True)
            case _:
                pass


def _commands(text: str) -> Iterator[tuple[str, int]]:
    """What the unit starts, before the service and after it too; an empty value takes back what stood before it.

    Of the other programs there, a shell's words may be none that we can read.
    """
    commands: dict[str, list[tuple[str, int]]] = {}
    for key, value, line in _settings(text):
        if key.startswith("Exec"):
            commands[key] = [*commands.get(key, []), (value.lstrip("@-:+!|"), line)] if value else []
    for key, started in commands.items():
        for value, line in started:
            if key == "ExecStart" or "beampermit" in value:
                yield value, line


def procserv(deployment: Deployment) -> str:
    return render("procserv.conf.j2", deployment, words=_words(deployment.name, '"$REGISTRY"', '"$LEDGER"'))


def procserv_statements(text: str, file: str) -> Iterator[Statement]:
    """Raises `BadInput` for a file that `manage-procs` could not read either."""
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text, file)
        commands = [parser.get(section, "command", fallback="") for section in parser.sections()]
    except configparser.Error as error:
        line = getattr(error, "lineno", None)
        raise BadInput(
            f"not a configuration of procServ: {error.message.splitlines()[0]}", file=file, line=line
        ) from None
    lines = [number for number, one in enumerate(text.splitlines(), 1) if re.match(r"command\s*[=:]", one)]
    for value, line in zip(commands, lines, strict=False):
        yield from command.statements(command.split(value, file, line), line)


def _words(name: str, registry: str, ledger: str) -> tuple[str, ...]:
    """The command on a host; its variables are spelled as whoever starts it reads them."""
    return command.serve(
        name,
        state=f"/var/lib/{name}",
        access=f"/etc/{name}/access.acf",
        http=f"127.0.0.1:{command.PORT}",
        registry=registry,
        ledger=ledger,
    )


def _settings(text: str) -> Iterator[tuple[str, str, int]]:
    """Key, value and line of the section `Service`; a line that ends in a backslash goes on in the next."""
    section, begun, first = "", "", 0
    for number, one in enumerate(text.splitlines(), 1):
        line = one.strip()
        if line.startswith(("#", ";")):
            continue
        if not begun and line.startswith("["):
            section = line
            continue
        first = first if begun else number
        begun += line
        if begun.endswith("\\"):
            begun = f"{begun[:-1]} "
            continue
        if section == "[Service]" and (match := LINE.fullmatch(begun)):
            yield match[1], match[2], first
        begun = ""


def _seconds(value: str) -> float:
    """0 where it says that there is no watchdog."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value)
    return float(sum(float(number) * SECONDS.get(unit, math.nan) for number, unit in parts))


def _mib(value: str) -> float:
    if value == "infinity":
        return math.inf
    match = re.fullmatch(r"(\d+)([KMGT]?)", value)
    return float(match[1]) * MIB[match[2]] if match else math.nan
