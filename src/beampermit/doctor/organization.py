"""Examines all projects of an organization: each repository whose default branch has a contract. Nothing is cloned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath

from beampermit.contract import FILE_NAME
from beampermit.doctor.examine import run_checks
from beampermit.doctor.results import Examined, Report, Result, State, of_error
from beampermit.doctor.subject import About, Files, Known, Subject, files_there
from beampermit.errors import BeampermitError, counted
from beampermit.github.client import Client, Refused, parse_answer
from beampermit.progress import Progress, silent

AT_ONCE = 16
EMPTY = 409
"""What GitHub says of the files of a repository without a commit."""


@dataclass(frozen=True)
class _Listed:
    """The projects of one repository, or why they are not known."""

    about: About
    subjects: tuple[Subject, ...] = ()
    error: BeampermitError | None = None


def examine_organization(client: Client, name: str, progress: Progress = silent) -> Report:
    """Raises `Outside` where GitHub does not list the repositories."""
    progress("list the repositories")
    listed = [parse_answer(About, row) for row in client.pages(f"/orgs/{name}/repos", sort="full_name")]
    repositories = [about for about in listed if not about.archived]
    known, done = Known(), count(1)
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def find(about: About) -> _Listed:
            found = _find(client, about, known)
            progress("look for contracts", next(done), len(repositories))
            return found

        results = list(pool.map(find, repositories))
        subjects = [subject for result in results for subject in result.subjects]
        examined = count(1)

        def examined_one(subject: Subject) -> Examined:
            one = Examined(project=subject.name, results=run_checks(subject))
            progress("look at the projects", next(examined), len(subjects))
            return one

        projects = list(pool.map(examined_one, subjects))
    projects += [_unknown(result.about, result.error) for result in results if result.error is not None]
    return Report(
        projects=tuple(sorted(projects, key=lambda project: project.project)),
        notes=tuple(_notes(len(listed), results)),
    )


def _find(client: Client, about: About, known: Known) -> _Listed:
    here = client.sibling(about.full_name)
    try:
        files = files_there(here, about.default_branch, known)
        folders = [_folder(path) for path in files.paths if PurePosixPath(path).name == FILE_NAME]
        subjects = tuple(_subject(here, about, files, folder, known) for folder in folders if _is_ours(files, folder))
    except Refused as refused:
        return _Listed(about) if refused.status == EMPTY else _Listed(about, error=refused)
    except BeampermitError as error:
        return _Listed(about, error=error)
    return _Listed(about, subjects)


def _folder(path: str) -> str:
    return path.removesuffix(FILE_NAME)


def _is_ours(files: Files, folder: str) -> bool:
    """Whether it names our format, valid or not: others call their files so, too."""
    text = files.read(f"{folder}{FILE_NAME}") or ""
    return any(line.startswith("beampermit:") for line in text.splitlines())


def _subject(client: Client, about: About, files: Files, folder: str, known: Known) -> Subject:
    name = f"{about.full_name}/{folder}".rstrip("/") if folder else about.full_name
    own = Files(files.paths, files.read, folder)
    return Subject(name, own, about.default_branch, client, about, None, known)


def _unknown(about: About, error: BeampermitError) -> Examined:
    found = of_error(error, "Contents, read")
    return Examined(project=about.full_name, results=(Result(title="files", **found.model_dump()),))


def _notes(listed: int, results: Sequence[_Listed]) -> Iterator[str]:
    ours = [len(result.subjects) for result in results if result.subjects]
    projects = f" ({counted(sum(ours), 'project')})" if sum(ours) > len(ours) else ""
    unread, archived = sum(result.error is not None for result in results), listed - len(results)
    more = [f"{unread} could not be read"] * bool(unread) + [f"{archived} archived"] * bool(archived)
    repositories = f"{listed} {'repository' if listed == 1 else 'repositories'}"
    yield ", ".join([repositories, f"{len(ours)} with a contract{projects}", *more])
    yield "not looked at from here: programs, environment, data remote, registry, hooks; `beampermit doctor` in a clone"


def by_cause(report: Report) -> list[tuple[Result, list[str]]]:
    """What did not pass, each cause once with its projects: what is missing first, and what most projects share."""
    causes = dict[tuple[str, str, str], tuple[Result, list[str]]]()
    for project in report.projects:
        for result in project.results:
            if result.state is not State.PASSED:
                causes.setdefault((result.title, result.state, result.reason), (result, []))[1].append(project.project)
    order = {State.FAILED: 0, State.UNKNOWN: 1, State.PASSED: 2}
    return sorted(causes.values(), key=lambda cause: (order[cause[0].state], -len(cause[1])))
