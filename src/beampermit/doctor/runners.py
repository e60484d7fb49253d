"""Whether there is a runner for each job: the labels that workflows ask for, and the runners that GitHub knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from beampermit.doctor.once import runners_of
from beampermit.doctor.results import Found, missing, there, unseen
from beampermit.doctor.subject import Subject
from beampermit.errors import BadInput
from beampermit.github.client import Client, Limited, Refused
from beampermit.workflows.labels import Asked, Runners

OWN = "self-hosted"
"""Machines that GitHub starts on demand, larger ones and scale sets, have no such label, and may not be listed. Those
that a laboratory starts on demand may have it: where none is there at the moment, none is listed."""


def runners(subject: Subject) -> Found:
    """A runner of the repository or of a group that it may use has all labels of each job, and is online."""
    found = runners_of(subject.files.workflows)
    if found.asked:
        return _compared(subject, found)
    if not found.computed and _wants_gpu(subject):
        reason = (
            "the contract asks for tests on a GPU (tests.gpu), and every job runs on GitHub's machines, without one"
        )
        return missing(reason, "write gpu-labels in pull-request.yml and release.yml: docs/runners.md of Beampermit")
    computed = f"; of {', '.join(found.computed)} only a run tells" if found.computed else ""
    return there(f"every job runs on GitHub's machines{computed}" if found.hosted else f"no job runs{computed}")


def _compared(subject: Subject, found: Runners) -> Found:
    machines, blind = _load(subject)
    ready = [labels for labels, online in machines if online]
    lost = [asked for asked in found.asked if not any(map(asked.fits, ready))]
    if not lost:
        return there(f"a runner is online for {'; '.join(map(str, found.asked))}")
    offline = [asked for asked in lost if any(asked.fits(labels) for labels, _ in machines)]
    fix = "docs/runners.md of Beampermit sets one up; `with: runner:` and `gpu-labels:` choose labels"
    if offline and not blind:
        return missing(f"the runners with {'; '.join(map(str, offline))} are offline: jobs wait for them", fix)
    own = [asked for asked in lost if OWN in map(str.lower, asked.labels)]
    if own and machines and not blind:
        return missing(f"no runner has {_list(own)}, and other runners are there: these jobs wait", fix)
    if blind:
        return unseen(f"no runner seen for {_list(lost)}; not seen with this token: needs {blind}")
    return unseen(f"no runner is listed for {_list(lost)}; machines that are started on demand are not seen")


def _wants_gpu(subject: Subject) -> bool:
    try:
        return subject.contract.tests.gpu is not None
    except BadInput:  # another check says so
        return False


def _list(asked: list[Asked]) -> str:
    return "; ".join(f"{each} ({each.file})" for each in asked)


def _load(subject: Subject) -> tuple[list[tuple[tuple[str, ...], bool]], str]:
    """Labels of each runner and whether it is online, and the rights that the token lacks to see all of them."""
    hub, found, lacks = subject.hub, list[tuple[tuple[str, ...], bool]](), list[str]()
    if not _add(found, hub, "/actions/runners"):
        lacks.append("Administration, read")
    if subject.about is not None and subject.about.owner.type == "Organization":
        place = f"/orgs/{subject.about.owner.login}/actions/runner-groups"
        name = subject.about.full_name.partition("/")[2]
        try:
            groups = list(hub.pages(place, "runner_groups", visible_to_repository=name))
            told = [_add(found, hub, f"{place}/{row['id']}/runners") for row in groups]
            seen = all(told)
        except (Refused, KeyError, TypeError) as error:
            if isinstance(error, Limited) or (isinstance(error, Refused) and error.status >= 500):
                raise
            seen = False
        if not seen:
            lacks.append("the organization's Self-hosted runners, read")
    return found, ", and ".join(lacks)


def _add(found: list[tuple[tuple[str, ...], bool]], hub: Client, path: str) -> bool:
    """Whether the token may see them."""
    try:
        found += [_machine(row) for row in hub.pages(path, "runners") if isinstance(row, Mapping)]
    except Refused as refused:
        if isinstance(refused, Limited) or refused.status >= 500:
            raise
        return False
    return True


def _machine(row: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    return tuple(_names(row.get("labels"))), row.get("status") == "online"


def _names(labels: Any) -> Iterator[str]:
    for label in labels if isinstance(labels, list) else ():
        if isinstance(label, Mapping):
            yield str(label.get("name"))
