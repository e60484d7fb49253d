"""TST004: pre-commit's hooks pass on the files that changed, in the locked environment and on a copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.contract import Contract
from beampermit.environments import Environment
from beampermit.errors import counted, more
from beampermit.interlocks.interlock import MOST, PROJECT_CODE, Finding, Interlock, failed, passed
from beampermit.interlocks.style_run import CONFIG, Hooks, at_top, places, run_hooks
from beampermit.project import Project
from beampermit.record import printable
from beampermit.verdicts.verdict import Location

DECIDES = re.compile(
    r"(?P<folder>(?:.*/)?)"
    r"(\.pre-commit-config\.yaml|pyproject\.toml|\.?ruff\.toml|setup\.cfg|[^/]*\.lock|[^/]*conda-lock\.yml)",
    re.DOTALL,
)
"""A change of these may change what the hooks say of any file."""
DIFF = 40
"""Lines of what the hooks changed that are kept."""


class TST004(Interlock):
    "The coding style that the contract asks for is kept"

    requires = frozenset({"ENV005"})
    decided_by = PROJECT_CODE

    def check(self, project: Project, contract: Contract, base_contract: Contract, environment: Environment) -> Finding:
        """Run `make lint`, or `beampermit env run -- pre-commit run --all-files`, and commit what it changes.

        The hooks of `.pre-commit-config.yaml` run in the locked environment, on a copy: on the files that the branch
        changes, on all where it changes the configuration, and on all for a release. `tests.style` of the base
        branch's contract asks for it, or that of this branch where the base does not.
        """
        if "required" not in (base_contract.tests.style, contract.tests.style):
            return passed("the contract asks for no coding style: tests.style is off")
        config = at_top(project, CONFIG)
        if not (project.git.top.root / CONFIG).is_file():
            return failed(f"tests.style is required, and there is no {CONFIG} at the top of the repository", config)
        files = _files(project)
        if not files.paths:
            return passed("the branch changes no file that is there")
        if dashed := [path for path in files.paths if path.startswith("-")]:
            return _dashed(project, dashed)
        with project.apart() as apart:
            hooks = run_hooks(apart, environment, files.paths)
        return _judge(project, hooks, files)


@dataclass(frozen=True)
class Files:
    """Paths in the repository to look at; whether they are all of the project, and how a sentence calls them."""

    paths: tuple[str, ...]
    all: bool
    called: str


def _files(project: Project) -> Files:
    git, prefix = project.git.top, project.git.prefix
    everything = f"all files of {prefix.rstrip('/')}" if prefix else "all files"
    if project.merged:
        return Files(_all(project), True, printable(everything))
    changed = git.differing(BaseAndHead(project).merge_base or "HEAD")
    if any(_decides(path, prefix) for path in changed):
        why = "for the branch changes what decides the style"
        return Files(_all(project), True, printable(f"{everything}, {why}"))
    there = [git.root / path for path in sorted({*changed}) if path.startswith(prefix)]
    paths = [file.relative_to(git.root).as_posix() for file in there if file.is_file() and not file.is_symlink()]
    return Files(tuple(paths), False, counted(len(paths), "changed file"))


def _all(project: Project) -> tuple[str, ...]:
    prefix = project.git.prefix
    return tuple(path for path in sorted(project.git.top.work_files()) if path.startswith(prefix))


def _decides(path: str, prefix: str) -> bool:
    """A setting in the project's folder, or in one above it."""
    found = DECIDES.fullmatch(path)
    return found is not None and (path.startswith(prefix) or prefix.startswith(found["folder"]))


def _dashed(project: Project, paths: list[str]) -> Finding:
    """Hooks get names as pre-commit has them: `--exit-zero` is an option of ruff, and switches it off."""
    shown = [printable(path) for path in paths]
    return failed(
        f"{shown[0]} begins with a dash, and a hook may take its name for an option that switches it off"
        f"{more(len(shown) - 1)}",
        *(at_top(project, path) for path in shown),
        fix="Give the file or folder a name that begins otherwise: `git mv -- OLD NEW`.",
    )


def _judge(project: Project, hooks: Hooks, files: Files) -> Finding:
    changed = tuple(map(printable, hooks.changed))
    evidence = {
        "hooks": hooks.ran,
        "skipped": hooks.skipped,
        "files": "all" if files.all else len(files.paths),
        "failed": {name: list(lines[:MOST]) for name, lines in hooks.failed.items()},
        "changed": list(changed[:MOST]),
        "diff": list(hooks.diff[:DIFF]),
    }
    config = at_top(project, CONFIG)
    if hooks.failed or hooks.diff:
        faults = _Faults(project, hooks, changed)
        return failed(faults.reason(files.called), *faults.locations(), **evidence)
    skipped = counted(hooks.skipped, "hook")
    if not hooks.ran and not hooks.skipped:
        return failed(f"no hook of {CONFIG} ran: it names none for commits", config, **evidence)
    if not hooks.ran and files.all:
        return failed(
            f"no hook of {CONFIG} ran on {files.called}: {skipped} skipped, for none of them", config, **evidence
        )
    if not hooks.ran:
        return passed(f"no hook is for what the branch changes: {skipped} skipped, {files.called}", **evidence)
    without = f"; {skipped} skipped, for none of them" if hooks.skipped else ""
    return passed(f"{counted(hooks.ran, 'hook')} passed on {files.called}{without}", **evidence)


class _Faults:
    """What a verdict says of hooks that failed, or that changed files."""

    def __init__(self, project: Project, hooks: Hooks, changed: tuple[str, ...]):
        self._project, self._hooks, self._changed = project, hooks, changed
        known = frozenset(project.git.top.work_files())
        prefix = project.git.prefix
        self._places = {name: list(places(lines, known, prefix)) for name, lines in hooks.failed.items()}

    def reason(self, which: str) -> str:
        changes = f"{self._changed[0]}{more(len(self._changed) - 1)}" if self._changed else "files"
        if not self._hooks.failed:
            return f"hooks that passed on {which} change {changes}"
        name, lines = next(iter(self._hooks.failed.items()))
        first = f"it changes {changes}" if self._changed else self._first(name, lines)
        return f"{name} failed on {which}{f': {first}' if first else ''}{more(len(self._hooks.failed) - 1)}"

    def _first(self, name: str, lines: tuple[str, ...]) -> str:
        if self._places[name]:
            path, line, why = self._places[name][0]
            return f"{path}:{line}: {' '.join(why.split())}"
        return " ".join(lines[0].split()) if lines else ""

    def locations(self) -> Iterator[Location]:
        for path in self._changed:
            yield Location(file=at_top(self._project, path), reason="the hooks change this file")
        for name, found in self._places.items():
            for path, line, why in found:
                yield Location(file=at_top(self._project, path), line=line, reason=f"{name}: {' '.join(why.split())}")
