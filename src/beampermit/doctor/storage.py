"""The DVC remote: whether it answers from here, and what may be done there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.doctor.once import runners_of
from beampermit.doctor.results import Found, missing, there, unseen
from beampermit.doctor.subject import Subject

if TYPE_CHECKING:
    from beampermit.datasets.remote import Remote


def data_remote(subject: Subject) -> Found:
    """The default remote, as the base branch has it, is read; written to where that is asked for."""
    from beampermit.datasets.remote import Remote
    from beampermit.datasets.repository import Repository

    project = subject.project
    assert project is not None  # noqa: S101 - `examine` sees to that
    if not Repository.exists(project):
        return missing("this is not a DVC repository", Repository.none_here(project))
    remote = Repository.of(project).remote()
    if not isinstance(remote, Remote):
        return unseen("the data are kept by another repository")
    shown, folder = f"the remote {remote.name} ({remote.url})", "://" not in remote.url
    if folder and subject.client is not None and _on_hosted_runners(subject):
        fix = f"dvc remote modify {remote.name} url URL, then make push"
        return missing(f"{shown} is a folder, which GitHub's machines do not reach", fix)
    read = f"{shown} is read{f', and {remote.empty}' if remote.empty else ''}"
    if folder:
        return there(f"{read}; it may {'be' if _may_write(Path(remote.url)) else 'not be'} written to")
    return _written(remote, read) if subject.try_writing else there(f"{read}; --try-writing says more")


def _written(remote: Remote, read: str) -> Found:
    """Who reads alone is as it should be for jobs of pull requests."""
    refusal = remote.try_writing()
    if refusal is None:
        return unseen(f"{read}; whether it may be written to is not tried on this kind of storage")
    return there(f"{read}, and may not be written to: {refusal}" if refusal else f"{read}, and may be written to")


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK) or (not folder.exists() and os.access(folder.parent, os.W_OK))


def _on_hosted_runners(subject: Subject) -> bool:
    found = runners_of(subject.files.workflows)
    return found.hosted and not found.asked
