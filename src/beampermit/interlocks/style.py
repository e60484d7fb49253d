"""TST004: pre-commit's hooks pass on the files that changed, in the locked environment and on a copy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from beampermit.cache import cache_folder
from beampermit.changes.base_and_head import BaseAndHead
from beampermit.contract import Contract
from beampermit.environments import Environment
from beampermit.errors import Failed, Outside, counted, more
from beampermit.git import Git
from beampermit.interlocks.interlock import MOST, PROJECT_CODE, Finding, Interlock, failed, passed
from beampermit.interlocks.pytest_run import TIMEOUT
from beampermit.processes import Finished, scratch_folder
from beampermit.project import Project
from beampermit.reproduction.tree import alone, commit_of_work_tree, exported
from beampermit.verdicts.verdict import Location

CONFIG = ".pre-commit-config.yaml"
DECIDES = re.compile(
    r"(.*/)?(\.pre-commit-config\.yaml|pyproject\.toml|\.?ruff\.toml|setup\.cfg|[^/]*\.lock|[^/]*conda-lock\.yml)"
)
"""A change of these may change what the hooks say of any file."""
MOST_NAMED = 1000
"""Files that are named on a command line; above, all are looked at."""
DIFF = 40
"""Lines of what the hooks changed that are kept."""
ENDED = re.compile(r"(?P<name>.*?)\.*(\(no files to check\))?(?P<how>Passed|Failed|Skipped)$")
HOOK = re.compile(r"- hook id: (.+)")
ABOUT = re.compile(r"- (hook id|exit code|duration|files were modified by this hook)\b")
PLACE = re.compile(r"(?P<file>[^\s:]+):(?P<line>\d+)(?::\d+)?:? +(?P<why>\S.*)")
UNEXPECTED = 3
"""pre-commit's exit status for what is not the fault of a hook, such as a hook that cannot be fetched."""


@dataclass(frozen=True)
class Hooks:
    """What pre-commit said: how many hooks ran, the lines of each that failed, and what they changed of the copy."""

    ran: int
    failed: dict[str, tuple[str, ...]]
    changed: tuple[str, ...]
    diff: tuple[str, ...]


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
        if not (project.git.top.root / CONFIG).is_file():
            return failed(f"tests.style is required, and there is no {CONFIG} at the top of the repository", CONFIG)
        files, which = _files(project)
        if files == []:
            return passed("the branch changes no file that is there")
        with project.apart() as apart:
            hooks = _run(apart, environment, files)
        return _judge(project, hooks, files, which)


def _files(project: Project) -> tuple[list[str] | None, str]:
    """Paths in the repository to look at, None for all; and how a sentence calls them."""
    if project.merged:
        return None, "all files"
    prefix = project.git.prefix
    changed = [path for path in BaseAndHead(project).changed_paths() if path.startswith(prefix) or path == CONFIG]
    if any(DECIDES.fullmatch(path) for path in changed):
        return None, "all files, for the branch changes what decides the style"
    top = project.git.top.root
    there = [path for path in changed if (top / path).is_file() and not (top / path).is_symlink()]
    return (None, "all files") if len(there) > MOST_NAMED else (there, counted(len(there), "changed file"))


def _run(project: Project, environment: Environment, files: Sequence[str] | None) -> Hooks:
    """On a copy, which hooks may change: a repository whose HEAD is where the branch began."""
    git = project.git.top
    commit = commit_of_work_tree(git)
    began = BaseAndHead(project).merge_base or git.head()
    with scratch_folder() as scratch, exported(git, commit, scratch / "tree"):
        copy = Git(scratch / "tree")
        copy("update-ref", "refs/heads/beampermit-style", began)
        copy("symbolic-ref", "HEAD", "refs/heads/beampermit-style")
        before = _changes(copy, commit)
        finished = _pre_commit(copy.root, project, environment, files)
        after = _changes(copy, commit)
    return _hooks(finished, after if after != before else ())


def _pre_commit(copy: Path, project: Project, environment: Environment, files: Sequence[str] | None) -> Finished:
    chosen = ["--all-files"] if files is None else ["--files", *(f"./{path}" for path in files)]
    home = cache_folder() / "pre-commit"
    program = ["-P", "-m", "pre_commit", "run", "--color", "never", "--config", CONFIG, *chosen]
    inside = copy / project.git.prefix
    own = {"PRE_COMMIT_HOME": str(home), "NO_COLOR": "1", "BEAMPERMIT_ENVIRONMENT": str(environment.prefix)}
    variables = alone(environment.clean_variables(inside), project, environment.prefix)
    finished = environment.run(
        program,
        project=copy,
        env={"PYTHONPATH": variables["PYTHONPATH"], "PATH": variables["PATH"], **own},
        timeout=TIMEOUT,
    )
    if finished.code == 0:
        return finished
    if "No module named pre_commit" in finished.err:
        raise Failed(
            "tests.style is required, and pre-commit is not in the locked environment",
            file="pyproject.toml",
            hint="add it to the group dev, then run `beampermit env lock`",
        )
    said = _cause(f"{finished.out}\n{finished.err}")
    if finished.code == UNEXPECTED or "CalledProcessError" in said:
        raise Outside(f"pre-commit could not run its hooks: {said}", file=CONFIG)
    if "An error has occurred" in finished.out:
        raise Failed(f"pre-commit refuses its configuration: {said}", file=CONFIG)
    return finished


def _cause(output: str) -> str:
    """What pre-commit says after `An error has occurred:`, in one line."""
    _, _, said = output.partition("error has occurred: ")
    lines = [line.strip().removeprefix("=====> ").removeprefix("==> ") for line in said.splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("Check the log at", "return code", "stdout", "(none)"))]
    return " ".join(kept)[:300] or "it gave no reason"


def _changes(copy: Git, commit: str) -> tuple[str, ...]:
    """The difference of the copy from what was laid out, as lines, whatever a hook has staged or committed."""
    return tuple(copy("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", commit).splitlines())


def _hooks(finished: Finished, diff: tuple[str, ...]) -> Hooks:
    ran, ids = 0, dict[str, list[str]]()
    current: list[str] | None = None
    for line in finished.out.splitlines():
        if ended := ENDED.fullmatch(line):
            ran += 1
            current = ids.setdefault(ended["name"], []) if ended["how"] == "Failed" else None
        elif current is not None and line.strip() and not ABOUT.match(line):
            current.append(" ".join(line.split())[:300])
    if finished.code and not ids:
        ids["pre-commit"] = [finished.tail]
    changed = tuple(line[6:] for line in diff if line.startswith("+++ b/"))
    return Hooks(ran, {name: tuple(lines) for name, lines in ids.items()}, changed, diff)


def _judge(project: Project, hooks: Hooks, files: Sequence[str] | None, which: str) -> Finding:
    evidence = {
        "hooks": hooks.ran,
        "files": "all" if files is None else len(files),
        "failed": {name: list(lines[:MOST]) for name, lines in hooks.failed.items()},
        "changed": list(hooks.changed[:MOST]),
        "diff": list(hooks.diff[:DIFF]),
    }
    if not hooks.ran:
        return failed(f"no hook of {CONFIG} ran: it names none for commits", CONFIG, **evidence)
    if hooks.failed or hooks.diff:
        places = list(_places(hooks, project.git.prefix))
        return failed(_reason(hooks, which), *places, **evidence)
    return passed(f"{counted(hooks.ran, 'hook')} passed on {which}", **evidence)


def _reason(hooks: Hooks, which: str) -> str:
    if not hooks.failed:
        first, *others = hooks.changed or ("files",)
        return f"hooks that passed on {which} change {first}{more(len(others))}"
    name, lines = next(iter(hooks.failed.items()))
    first = next((line for line in lines if PLACE.match(line)), lines[0] if lines else "")
    if hooks.changed:
        first = f"it changes {hooks.changed[0]}{more(len(hooks.changed) - 1)}"
    return f"{name} failed on {which}{f': {first}' if first else ''}{more(len(hooks.failed) - 1)}"


def _places(hooks: Hooks, prefix: str) -> Iterator[Location]:
    for path in hooks.changed:
        yield Location(file=path.removeprefix(prefix), reason="the hooks change this file")
    for name, lines in hooks.failed.items():
        for found in filter(None, map(PLACE.match, lines)):
            place = found["file"].removeprefix(prefix)
            yield Location(file=place, line=int(found["line"]), reason=f"{name}: {found['why']}")
