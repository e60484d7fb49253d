"""ENV: the project's software is locked, and the locked software is what runs."""

from __future__ import annotations

from collections.abc import Sequence

from beampermit.contract import FILE_NAME
from beampermit.environments import Environment
from beampermit.environments.addresses import unlisted, untrusted
from beampermit.environments.backend import Backend, Lock, Specification
from beampermit.environments.choice import backend_of
from beampermit.environments.coverage import uncovered
from beampermit.environments.environment import environment_of, python_mismatches
from beampermit.environments.inventory import describe_all, inventory
from beampermit.errors import BadInput, Problem, counted, several
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, MissingInput, failed, located, passed
from beampermit.project import Project
from beampermit.verdicts.evidence import Installs, LockChecks
from beampermit.verdicts.verdict import Location

MOST = 20
"""Problems kept as evidence; the reason gives their number."""


@provides
def backend(project: Project) -> Backend:
    """The kind of lock that the project uses: uv or conda-lock."""
    return backend_of(project.root)


@provides
def specification(project: Project, backend: Backend) -> Specification:
    """The direct requirements, as `pyproject.toml` or `environment.yml` has them."""
    return backend.specification(project.root)


@provides
def lock(project: Project, backend: Backend) -> Lock:
    """The lock in the work tree."""
    if not (project.root / backend.lock_file).is_file():
        raise MissingInput(f"there is no {backend.lock_file}", hint="beampermit env lock")
    return backend.read(project.root)


@provides
def environment(project: Project) -> Environment:
    """The installed environment, which the project's own code runs in."""
    try:
        return environment_of(project.root, _passed(project))
    except BadInput as error:
        raise MissingInput(error.message, hint=error.hint) from None


class ENV001(Interlock):
    "The environment is locked"

    decided_by = ("commit",)

    def check(self, project: Project, backend: Backend) -> Finding:
        """Run `beampermit env lock` and commit every lock file that it writes."""
        if not (project.root / backend.lock_file).is_file():
            return failed(f"there is no {backend.lock_file}", backend.specification_file)
        try:
            lock = backend.read(project.root)
        except BadInput as error:
            return failed(error.message, Location(file=error.file or backend.lock_file, line=error.line))
        files = [variant.file for variant in lock.all]
        for file in files:
            if project.git.try_("check-ignore", "--quiet", file).code == 0:
                return failed(f"git ignores {file}, so it cannot be committed", ".gitignore")
        if untracked := _untracked_variants(project, files):
            return failed(f"{files[0]} is in git and {untracked[0]} is not; run `git add {untracked[0]}`", *untracked)
        packages = sum(not package.own for variant in lock.all for package in variant.packages)
        return passed(
            f"{', '.join(files)}: {counted(packages, 'package')}",
            LockChecks(packages=packages, digest=lock.digest),
        )


class ENV002(Interlock):
    "The lock matches the project's requirements"

    requires = frozenset({"ENV001"})
    decided_by = ("commit", "requirements")

    def check(self, project: Project, backend: Backend, specification: Specification, lock: Lock) -> Finding:
        """Run `beampermit env lock` and commit the lock, unless the reason names a mistake in the requirements.

        Correct such a mistake in `pyproject.toml` or `environment.yml` first.
        """
        problems = (*backend.stale(specification, lock), *python_mismatches(project.root, lock))
        if problems:
            return _failed(problems)
        return passed(
            f"{lock.file} satisfies {specification.file}",
            LockChecks(requirements=len(specification.requirements), python=specification.python),
        )


class ENV003(Interlock):
    "The lock covers the contract's platforms and accelerators"

    requires = frozenset({"ENV001"})
    decided_by = ("commit",)

    def check(self, project: Project, lock: Lock) -> Finding:
        """The contract lists a platform or accelerator under `environment` that the lock has no packages for.

        With conda-lock, add the platform to `platforms:` in `environment.yml`, or describe the accelerator in
        `cuda.virtual-packages.yml` beside it. With uv, add the accelerator as an extra. Then run `beampermit env lock`.

        Where the lock gives machines without a GPU CUDA packages, ask for builds without. With conda-lock, a build:
        `pytorch >=2.8 cpu_*`. With uv, an index or a folder with wheels for CPUs (`docs/environments.md`,
        Accelerators), or another package, such as `xgboost-cpu`; then `beampermit env lock --update NAME`. A model that
        needs a GPU everywhere has `accelerators: [cuda]`.
        """
        if not project.has_contract:
            installs = inventory(lock, project.root)
            reason = f"there is no contract, so {lock.file} need not cover a platform: {describe_all(installs)}"
            return passed(reason, LockChecks(installs=installs))
        required = project.base_contract.environment
        installs = inventory(lock, project.root, required.platforms)
        problems = tuple(uncovered(lock, required.platforms, required.accelerators))
        if problems:
            return _failed(problems, installs=installs)
        return passed(
            f"{', '.join(required.platforms)} with {', '.join(required.accelerators)}: {describe_all(installs)}",
            LockChecks(locks=len(lock.all), installs=installs),
        )


class ENV004(Interlock):
    "Every package has a sha256 and comes from an allowed index"

    requires = frozenset({"ENV001"})
    decided_by = ("commit", "requirements")

    def check(self, project: Project, backend: Backend, specification: Specification, lock: Lock) -> Finding:
        """A package in the lock has no checksum, another one than on the base branch, or another origin than allowed.

        Run `beampermit env lock` to write the lock again from the allowed indexes. To allow a new index, open a
        separate pull request that adds it to `environment.indexes` in `contract.yaml`.

        A package from git, a folder or a URL cannot pass: serve a wheel of it from an index, or from a folder that
        `find-links` of `[tool.uv]` names.
        """
        allowed, by = _allowed(project)
        before = _before(project, backend)
        locked = (problem for variant in lock.all for problem in untrusted(variant, allowed, before))
        problems = (*locked, *unlisted(specification, allowed))
        if problems:
            return _failed(problems, allowed_by=by)
        files = sum(len(package.artifacts) for variant in lock.all for package in variant.packages)
        return passed(
            f"{counted(files, 'file')} with a sha256, from indexes allowed by {by}",
            LockChecks(files=files, indexes=lock.sources),
        )


class ENV005(Interlock):
    "The installed environment is exactly the locked one"

    requires = frozenset({"ENV001"})
    decided_by = ("commit", "environment")

    def check(self, backend: Backend, lock: Lock, environment: Environment) -> Finding:
        """Run `beampermit env install`. It installs the locked packages again, and removes all others."""
        problems = backend.installed(lock, environment.prefix)
        if problems:
            return _failed(problems, prefix=str(environment.prefix))
        return passed(
            f"every package in {environment.prefix} is as locked",
            LockChecks(prefix=str(environment.prefix), digest=lock.digest),
        )


def _passed(project: Project) -> tuple[str, ...]:
    """Variables that the base branch's contract lets through to the project's code."""
    try:
        return project.base_contract.environment.variables
    except BadInput:
        return ()


def _untracked_variants(project: Project, files: Sequence[str]) -> list[str]:
    """Locks of variants that git lacks while it tracks the first: a lock that is new as a whole is not a fault."""
    tracked = project.git.try_("ls-files", "-z", "--", *files).out.split("\0")
    return [file for file in files if file not in tracked] if files[0] in tracked else []


def _allowed(project: Project) -> tuple[tuple[str, ...] | None, str]:
    """The allowed indexes, None where there is no contract, and what allows them."""
    if not project.has_contract:
        return None, "the lock (there is no contract)"
    allowed = project.base_contract.environment.indexes
    if allowed:
        return allowed, f"the base branch's {FILE_NAME}" if project.contract_on_base else FILE_NAME
    # The first lock of a project brings its first list of indexes; from then on the base branch's list judges.
    return project.contract.environment.indexes, f"{FILE_NAME} (the base branch allows no index yet)"


def _before(project: Project, backend: Backend) -> Lock | None:
    """The base branch's lock, where it has one that can be read."""
    text = project.git.read(project.base, backend.lock_file) if project.base else None
    try:
        return None if text is None else backend.parse(text, backend.lock_file)
    except BadInput:
        return None


def _failed(
    problems: Sequence[Problem],
    *,
    allowed_by: str | None = None,
    prefix: str | None = None,
    installs: tuple[Installs, ...] = (),
) -> Finding:
    shown = problems[:MOST]
    return failed(
        several([problem.message for problem in problems]),
        *located(shown),
        evidence=LockChecks(
            problems=tuple(problem.message for problem in shown),
            count=len(problems),
            allowed_by=allowed_by,
            prefix=prefix,
            installs=installs,
        ),
    )
