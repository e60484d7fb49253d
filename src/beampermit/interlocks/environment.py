"""ENV: the model's software is locked, and the lock is what runs."""

from __future__ import annotations

from collections.abc import Sequence

from beampermit.contract import FILE_NAME
from beampermit.environments import Environment
from beampermit.environments.addresses import untrusted
from beampermit.environments.backend import Backend, Lock, Specification
from beampermit.environments.choice import backend_of
from beampermit.environments.coverage import uncovered
from beampermit.environments.environment import disagreeing, environment_of
from beampermit.errors import BadInput, Problem, several
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import MissingInput, Finding, Interlock, failed, passed
from beampermit.project import Project
from beampermit.verdicts.evidence import LockChecks
from beampermit.verdicts.verdict import Location

MOST = 20
"""So many problems are kept as evidence; the reason says how many there are."""


@provides
def backend(project: Project) -> Backend:
    """The kind of lock that the project is written for."""
    return backend_of(project.root)


@provides
def specification(project: Project, backend: Backend) -> Specification:
    """What the project asks for."""
    return backend.specification(project.root)


@provides
def lock(project: Project, backend: Backend) -> Lock:
    """The lock in the work tree."""
    if not (project.root / backend.lock_file).is_file():
        raise MissingInput(f"there is no {backend.lock_file}", hint="beampermit env lock")
    return backend.read(project.root)


@provides
def environment(project: Project) -> Environment:
    """The installed environment that the project's own code runs in."""
    try:
        return environment_of(project.root)
    except BadInput as error:
        raise MissingInput(error.message, hint=error.hint) from None


class ENV001(Interlock):
    "The environment is locked"

    def check(self, project: Project, backend: Backend) -> Finding:
        """There is no lock, it is broken, or git has not all of it. Run `beampermit env lock` and commit the result."""
        if not (project.root / backend.lock_file).is_file():
            return failed(f"there is no {backend.lock_file}", backend.specification_file)
        try:
            lock = backend.read(project.root)
        except BadInput as error:
            return failed(error.message, Location(file=error.file or backend.lock_file, line=error.line))
        names = [one.file for one in lock.all]
        for name in names:
            if project.git.try_("check-ignore", "--quiet", name).code == 0:
                return failed(f"git ignores {name}, so nobody else gets it", ".gitignore")
        if left := _left_out(project, names):
            return failed(f"git has {names[0]} and not {left[0]}: git add {left[0]}", *left)
        packages = sum(not package.own for one in lock.all for package in one.packages)
        return passed(f"{', '.join(names)}: {packages} packages", LockChecks(packages=packages, digest=lock.digest))


class ENV002(Interlock):
    "The lock is fresh"

    requires = frozenset({"ENV001"})

    def check(self, project: Project, backend: Backend, specification: Specification, lock: Lock) -> Finding:
        """The lock is not what the project asks for. Run `beampermit env lock` and commit the result."""
        problems = (*backend.stale(specification, lock), *disagreeing(project.root, lock))
        if problems:
            return _failed(problems)
        return passed(
            f"{lock.file} is a solution of {specification.file}, found without a solver",
            LockChecks(requirements=len(specification.requirements), python=specification.python),
        )


class ENV003(Interlock):
    "The lock covers the platforms and accelerators of the contract"

    requires = frozenset({"ENV001"})

    def check(self, project: Project, lock: Lock) -> Finding:
        """Some machine that the contract names has no environment.

        Add the platform to `platforms:` in `environment.yml`, or the accelerator as `cuda.virtual-packages.yml` beside
        it (with uv: as an extra), and run `beampermit env lock`.
        """
        if not project.has_contract:
            return passed(f"no contract names a platform; {lock.file} is for what its specification names")
        asked = project.base_contract.environment
        problems = tuple(uncovered(lock, asked.platforms, asked.accelerators))
        if problems:
            return _failed(problems)
        return passed(
            f"{', '.join(asked.platforms)} with {', '.join(asked.accelerators)}", LockChecks(locks=len(lock.all))
        )


class ENV004(Interlock):
    "Every package has a sha256 and comes from an allowed index"

    requires = frozenset({"ENV001"})

    def check(self, project: Project, backend: Backend, lock: Lock) -> Finding:
        """Something in the lock is not what an allowed index serves.

        Run `beampermit env lock` to have it written anew. An index that is new for the project is allowed by a pull
        request of its own that adds it to `environment.indexes` in `contract.yaml`.
        """
        allowed, by = _allowed(project)
        before = _before(project, backend)
        problems = tuple(problem for one in lock.all for problem in untrusted(one, allowed, before))
        if problems:
            return _failed(problems, allowed_by=by)
        files = sum(len(package.artifacts) for one in lock.all for package in one.packages)
        return passed(
            f"{files} files, each with a sha256, from what {by} allows", LockChecks(files=files, indexes=lock.sources)
        )


class ENV005(Interlock):
    "The environment that runs is the lock"

    requires = frozenset({"ENV001"})

    def check(self, backend: Backend, lock: Lock, environment: Environment) -> Finding:
        """What is installed is not what is locked. Run `beampermit env install`."""
        problems = backend.installed(lock, environment.prefix)
        if problems:
            return _failed(problems, prefix=str(environment.prefix))
        return passed(
            f"every package at {environment.prefix} is the locked one",
            LockChecks(prefix=str(environment.prefix), digest=lock.digest),
        )


def _left_out(project: Project, names: Sequence[str]) -> list[str]:
    """Locks of variants that git does not have while it has the first: a lock that is new as a whole is no fault."""
    tracked = project.git.try_("ls-files", "-z", "--", *names).out.split("\0")
    return [name for name in names if name not in tracked] if names[0] in tracked else []


def _allowed(project: Project) -> tuple[tuple[str, ...] | None, str]:
    """The allowed addresses, None where there is no contract, and who allows them."""
    if not project.has_contract:
        return None, "an index with its files on one host"
    allowed = project.base_contract.environment.indexes
    if allowed:
        return allowed, f"the base branch's {FILE_NAME}" if project.contract_on_base else FILE_NAME
    # The first lock of a project brings its first list of indexes; from then on the base branch's list judges.
    return project.contract.environment.indexes, f"{FILE_NAME} (the base branch allows no index yet)"


def _before(project: Project, backend: Backend) -> Lock | None:
    """The base branch's lock, if there is one that can be read."""
    text = project.git.read(project.base, backend.lock_file) if project.base else None
    try:
        return None if text is None else backend.parse(text, backend.lock_file)
    except BadInput:
        return None


def _failed(problems: Sequence[Problem], *, allowed_by: str | None = None, prefix: str | None = None) -> Finding:
    places = dict.fromkeys(Location(file=problem.file, line=problem.line) for problem in problems[:MOST])
    return failed(
        several([problem.message for problem in problems]),
        *places,
        evidence=LockChecks(
            problems=tuple(problem.message for problem in problems[:MOST]),
            count=len(problems),
            allowed_by=allowed_by,
            prefix=prefix,
        ),
    )
