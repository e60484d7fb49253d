"""Examines one project: all checks side by side, for each of them mostly waits."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

from beampermit.doctor.checks import CHECKS, Check
from beampermit.doctor.results import Examined, Found, Report, Result, State, of_error, there
from beampermit.doctor.subject import Known, Subject, files_here, load_about
from beampermit.errors import BeampermitError, Outside
from beampermit.github.context import find_client
from beampermit.progress import Progress, silent
from beampermit.project import Project

AT_ONCE = 12
OF_GITHUB = "GitHub"


def examine(
    project: Project, repository: str = "", *, offline: bool = False, try_writing: bool = False,
    progress: Progress = silent,
) -> Report:  # fmt: skip
    """One project on this machine, and its repository on GitHub. Raises `BadInput` for a wrong name or token."""
    name = str(project.root)
    subject = Subject(name, files_here(project), project.protected_branch, None, None, project, Known(), try_writing)
    client = None if offline else find_client(project.git, repository)
    if client is None:
        asked = sum(check.of == OF_GITHUB for check in CHECKS)
        why = "by --offline" if offline else "origin is not on a known GitHub; --repository OWNER/NAME names one"
        return Report(
            projects=(Examined(project=name, results=run_checks(subject, progress)),),
            notes=(f"GitHub was not asked, {why}: {asked} checks are left out",),
        )
    progress("ask GitHub")
    try:
        about = load_about(client)
    except BeampermitError as error:
        first = _named(OF_GITHUB, of_error(error, "a token that sees the repository, in GITHUB_TOKEN"))
        return Report(projects=(Examined(project=client.repository, results=(first, *run_checks(subject, progress))),))
    subject = replace(subject, name=client.repository, branch=about.default_branch, client=client, about=about)
    first = _named(OF_GITHUB, there(f"{client.repository} is there, its default branch is {about.default_branch}"))
    return Report(projects=(Examined(project=client.repository, results=(first, *run_checks(subject, progress))),))


def run_checks(subject: Subject, progress: Progress = silent) -> tuple[Result, ...]:
    """Those that can be run on this subject, in order."""
    checks = [check for check in CHECKS if _applies(check, subject)]
    done = count(1)

    def run(check: Check) -> Result:
        result = _named(check.title, _guarded(check, subject))
        progress("check", next(done), len(checks))
        return result

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return causes_once(tuple(pool.map(run, checks)))


def _applies(check: Check, subject: Subject) -> bool:
    if check.of == "machine":
        return subject.project is not None
    return check.of == "files" or subject.client is not None


def _guarded(check: Check, subject: Subject) -> Found:
    """Whatever happens to one check, the others are shown."""
    try:
        return check.run(subject)
    except BeampermitError as error:
        return of_error(error, check.right)
    except Exception as error:
        return of_error(Outside(f"internal error in this check: {type(error).__name__}: {error}"))


def causes_once(results: Sequence[Result]) -> tuple[Result, ...]:
    """Of several checks with one and the same reason for not knowing, the first one says it."""
    first = dict[str, str]()
    kept = list[Result]()
    for result in results:
        if result.state is State.UNKNOWN and result.no_answer and result.reason in first:
            kept.append(result.model_copy(update={"reason": f"as {first[result.reason]}", "fix": ""}))
            continue
        first.setdefault(result.reason, result.title)
        kept.append(result)
    return tuple(kept)


def _named(title: str, found: Found) -> Result:
    return Result(title=title, **found.model_dump())
