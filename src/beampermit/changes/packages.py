"""What a pull request changes in the environment: packages that are new, gone or of another version in the lock."""

from __future__ import annotations

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.flat import Change
from beampermit.environments.backend import Backend
from beampermit.environments.choice import BACKENDS, lock_files
from beampermit.errors import BadInput


def compare_packages(base_and_head: BaseAndHead) -> tuple[Change, ...]:
    """Packages by name with their versions before and after, of each accelerator; and a changed index.

    Raises `BadInput` for a lock of the work tree that cannot be read.
    """
    changes: list[Change] = []
    for backend in BACKENDS:
        for file in lock_files(base_and_head.root_files(), backend):
            before, after = base_and_head.before(file), base_and_head.after(file)
            new = _versions(after, backend, file)
            if after == before:
                continue
            old = _versions_before(before, backend, file)
            variant = "" if file == backend.lock_file else f" ({file.removesuffix(f'.{backend.lock_file}')})"
            changes += [Change(f"{name}{variant}", old.get(name), new.get(name)) for name in sorted({*old, *new})]
    return tuple(change for change in changes if change.before != change.after)


def _versions_before(text: str | None, backend: Backend, file: str) -> dict[str, str]:
    try:
        return _versions(text, backend, file)
    except BadInput:
        return {}


def _versions(text: str | None, backend: Backend, file: str) -> dict[str, str]:
    if text is None:
        return {}
    lock = backend.parse(text, file)
    versions: dict[str, dict[str, None]] = {}
    for package in lock.packages:
        if not package.own:
            versions.setdefault(package.name, {})[package.version] = None
    listed = {name: ", ".join(of_package) for name, of_package in versions.items()}
    return listed | ({"(index)": ", ".join(lock.sources)} if lock.sources else {})
