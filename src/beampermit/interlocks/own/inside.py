"""The process of a laboratory's interlocks: `python -P -m beampermit.interlocks.own.inside REQUEST ANSWERS`.

In it alone a package is imported. Whatever it does is an answer, or the lack of one: it may raise anything, close its
streams, or end this process. With `serve` for the words, each request on stdin gets such a process as a fork of this
one, which has imported ours and imports no package.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NoReturn

from beampermit.errors import BadInput, BeampermitError, Problem, from_os_error
from beampermit.forking import serve
from beampermit.interlocks.api import INPUTS, OwnInterlock
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.interlock import MOST, Finding
from beampermit.interlocks.own.answers import KINDS, LONGEST, Described, Found, Raised
from beampermit.processes import hide_memory
from beampermit.project import Project
from beampermit.verdicts.evidence import Evidence
from beampermit.verdicts.verdict import Location, Outcome

TEXT = 2000
"""Characters of a reason, a fix and a place that are kept: a file of verdicts has to stay below its limit."""
DEEPEST = 32
"""Levels of evidence."""
LONGEST_CHECK = 86400
"""Seconds that a check may ask for."""
FACTS = 128 * 1024
"""Bytes of evidence, as it is written. What is larger is left out: the verdict stands without it."""


def main(request: str, answers: str) -> None:
    hide_memory()
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    folder = Path(asked["folder"])
    sys.path.append(str(folder))  # after all that the checker has
    importlib.invalidate_caches()
    for id, value in asked["points"].items():
        _write(answers, {"begun": id})
        point = EntryPoint(id, value, "")
        if "check" in asked:
            answer = _answer(lambda point=point: _checked(point, asked["check"]), asked["check"]["package"])
        else:
            answer = _described(point, folder)
        _write(answers, {"id": id, type(answer).__name__.lower(): answer.model_dump(mode="json")})
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # it may be closed
            stream.flush()
    os._exit(0)  # no thread and no handler of a package keeps us


def _write(answers: str, line: dict[str, Any]) -> None:
    with open(answers, "a", encoding="utf-8") as stream:  # noqa: PTH123 - each time afresh: a package may close ours
        stream.write(json.dumps(line) + "\n")


def _described(point: EntryPoint, folder: Path) -> Described:
    try:
        kind: Any = point.load()
        if why := _unfit(point.name, kind, folder):
            return Described(why=cut(why))
        return Described(
            title=inspect.cleandoc(kind.__doc__ or ""),
            fix=cut(inspect.getdoc(kind.check) or ""),
            inputs=_inputs(kind),
            requires=tuple(sorted(kind.requires)),
            time_limit=kind.time_limit,
        )
    except BaseException as error:
        return Described(why=cut(f"{point.value} cannot be loaded: {_named(error)}"))


def _unfit(id: str, kind: Any, folder: Path) -> str:
    """Why this class is not an interlock; empty if it is."""
    if not (isinstance(kind, type) and issubclass(kind, OwnInterlock)):
        return "it is not a subclass of OwnInterlock of beampermit.interlocks.api"
    if kind.__name__ != id:
        return f"the class is called {kind.__name__}"
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None or not Path(file).resolve().is_relative_to(folder.resolve()):
        return f"its module {kind.__module__} is not that of the locked package, but {file}"
    return _ill_written(kind)


def _ill_written(kind: type[OwnInterlock]) -> str:
    title = inspect.cleandoc(kind.__doc__ or "")
    if not title or "\n" in title or len(title) > LONGEST:
        return f"its docstring, the title, must be one line of at most {LONGEST} characters"
    check = getattr(kind, "check", None)
    if check is None or not inspect.getdoc(check):
        return "it has no method `check` whose docstring is the fix"
    if others := [name for name in _inputs(kind) if name not in INPUTS]:
        return f"`check` asks for {others[0]!r}; it may ask for {', '.join(INPUTS)}"
    if isinstance(kind.requires, str) or not all(isinstance(name, str) for name in kind.requires):
        return "`requires` must be a set of ids"
    limit = kind.time_limit
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= LONGEST_CHECK:
        return f"`time_limit` must be a number of seconds above 0, of at most {LONGEST_CHECK}"
    return ""


def _inputs(kind: type[OwnInterlock]) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(kind.check).parameters if name != "self")


def _checked(point: EntryPoint, asked: dict[str, Any]) -> Found:
    project = Project(Path(asked["root"]))
    project.base = asked["base"]  # that of the process that asks
    inputs = Inputs(project=project).of(tuple(asked["inputs"]))
    kind: Any = point.load()
    return plain(kind().check(**inputs))


def _answer(work: Callable[[], Found], package: str) -> Found | Raised:
    try:
        return work()
    except BaseException as error:
        try:
            return _raised(error, package)
        except BaseException:  # it cannot even say what it is
            return Raised(kind="Outside", message=f"internal error in this check of {package}: {type(error).__name__}")


def _raised(error: BaseException, package: str) -> Raised:
    if isinstance(error, OSError) and (outside := from_os_error(error)):
        error = outside
    if not isinstance(error, BeampermitError):
        message = f"internal error in this check of {package}: {_named(error)}"
        return Raised(kind="Outside", message=cut(message))
    kind = next((kind for kind in KINDS if isinstance(error, kind)), BadInput)
    also = [
        Problem(cut(one.message), one.file and cut(one.file), one.line, cut(one.hint)) for one in error.also[: MOST - 1]
    ]
    file = error.file and cut(str(error.file))
    message = cut(str(error.message))
    return Raised(
        kind=kind.__name__, message=message, file=file, line=error.line, hint=cut(str(error.hint)), also=tuple(also)
    )


def _named(error: BaseException) -> str:
    try:
        said = " ".join(str(error).split())
    except BaseException:
        said = "it cannot say what is wrong"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def plain(finding: Any) -> Found:
    """What was found, without what only ours may say: records that documents read, and when a check is due.

    Raises `BadInput` for what is not a finding.
    """
    if not isinstance(finding, Finding):
        raise BadInput(f"`check` returned {type(finding).__name__}; it returns passed(), failed() or skipped()")
    if finding.outcome not in set(Outcome):
        raise BadInput(f"its outcome is {finding.outcome!r}, which passed(), failed() and skipped() never give")
    for name, text in (("reason", finding.reason), ("fix", finding.fix)):
        if not isinstance(text, str):
            raise BadInput(f"the {name} of its finding is {type(text).__name__}, and not a text")
    return Found(
        outcome=Outcome(finding.outcome),
        reason=cut(finding.reason),
        fix=cut(finding.fix),
        evidence=_facts(finding.evidence),
        locations=_places(finding.locations),
    )


def _places(given: Any) -> tuple[Location, ...]:
    places: list[Location] = []
    for place in tuple(given)[:MOST]:
        if not isinstance(place, Location):
            raise BadInput(f"a place of its finding is {type(place).__name__}, and not a `Location`")
        # Copied, for what is made without validation may hold anything.
        places.append(Location(file=cut(place.file), line=place.line, reason=cut(place.reason)))
    return tuple(places)


def _facts(evidence: Any) -> dict[str, Any]:
    facts = evidence.model_dump(mode="json") if isinstance(evidence, Evidence) else evidence
    if not isinstance(facts, dict):
        raise BadInput(f"its evidence is {type(facts).__name__}, and not facts by keyword")
    if _deeper(facts, DEEPEST):
        raise BadInput(f"its evidence is nested more than {DEEPEST} deep")
    try:
        written = json.dumps(facts, allow_nan=False, indent=2)
    except (TypeError, ValueError) as error:
        raise BadInput(f"its evidence cannot be written as JSON: {error}") from None
    if len(written) > FACTS:
        return {"left_out": f"{len(written)} bytes of JSON, {FACTS} is the limit"}
    return json.loads(written)


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list | tuple):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(one, levels - 1) for one in inner)


def cut(text: str) -> str:
    """At most `TEXT` characters, with a mark where some are left out."""
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"


def _forked(request: Mapping[str, Any]) -> NoReturn:
    gc.enable()
    try:
        for number, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, request["output"], os.O_WRONLY | os.O_APPEND),
        ):
            file = os.open(path, flags)
            os.dup2(file, number)
            os.close(file)
        os.dup2(1, 2)
        os.chdir(request["cwd"])
        sys.argv[1:] = [request["request"], request["answers"]]
        main(*sys.argv[1:])
    except BaseException as error:
        with suppress(BaseException):
            sys.excepthook(type(error), error, error.__traceback__)
            sys.stderr.flush()
    os._exit(1)


def _serve() -> None:
    hide_memory()
    gc.disable()  # of what is imported nothing goes
    gc.freeze()
    serve(sys.stdin, _forked)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        _serve()
    else:
        main(*sys.argv[1:])
