"""Whether `dvc.lock` says what `dvc.yaml`, parameters, code and data say now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.datasets.repository import Repository, dvc_errors
from beampermit.datasets.workspace import irregular_files


@dataclass(frozen=True)
class StageChange:
    """What of a stage is not as its lock says. `certain` is false where the data to tell are not here."""

    stage: str
    what: str
    file: str
    certain: bool = True


def stage_changes(repository: Repository) -> list[StageChange]:
    """Each stage's differences from its lock. Data that are not here are judged by the lock of who makes them.

    A frozen stage is judged like any other: freezing does not make its outputs younger. Raises `BadInput`.
    """
    producers = {out.fs_path: out for stage in repository.stages for out in stage.outs}
    files = _Files()
    found: list[StageChange] = []
    with dvc_errors(repository.root):
        for stage in repository.stages:
            found += _Stage(repository, stage, producers, files).changes()
    return found


class _Files:
    """Files that many stages read, parsed once: YAML is slow."""

    def __init__(self) -> None:
        self._locked: dict[Path, set[str]] = {}
        self._parameters: dict[str, Any] = {}

    def locked(self, lock: Path) -> set[str]:
        """Names of the stages that a `dvc.lock` knows; DVC has read it before, so it is sound."""
        from dvc.utils.serialize import load_yaml

        if lock not in self._locked:
            content = load_yaml(str(lock)) if lock.is_file() else {}
            self._locked[lock] = set(content.get("stages") or {})
        return self._locked[lock]

    def parameters(self, dependency: Any) -> dict[str, Any]:
        """The parameters that a dependency names, those that are there, by their dotted names; all if it names none."""
        import dpath
        from dvc.utils.serialize import load_path

        path = dependency.fs_path
        if path not in self._parameters:
            self._parameters[path] = load_path(path, dependency.repo.fs)
        content = self._parameters[path]
        names = dependency.params or list(content)
        absent = object()
        found = {name: dpath.get(content, name, separator=".", default=absent) for name in names}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
            if value is not absent
        }


class _Stage:
    """One stage, looked at."""

    def __init__(self, repository: Repository, stage: Any, producers: dict[str, Any], files: _Files):
        self._repository = repository
        self._files = files
        self._stage = stage
        self._producers = producers
        self._name = repository.name(stage)
        self._pipeline = stage.path.endswith("dvc.yaml")
        file = repository.relative(stage.path)
        self._file = file
        self._lock = f"{file.removesuffix('.yaml')}.lock" if self._pipeline else file

    def changes(self) -> list[StageChange]:
        if self._pipeline and not self._locked():
            return [self._change("never ran: dvc.lock does not know it", self._lock)]
        return list(self._all())

    def _all(self) -> Iterator[StageChange]:
        if self._pipeline and self._stage.cmd_changed:
            yield self._change("its command changed", self._file)
        for dependency in self._stage.deps:
            # What is imported is bound by the hash of the output; its source is never contacted from here.
            if not self._stage.is_import:
                yield from self._dependency(dependency)
        for out in self._stage.outs:
            yield from self._output(out)

    def _locked(self) -> bool:
        known = any(item.hash_info for item in (*self._stage.deps, *self._stage.outs))
        return known or self._stage.name in self._files.locked(self._repository.root / self._lock)

    def _dependency(self, dependency: Any) -> Iterator[StageChange]:
        from dvc.dependency import ParamsDependency

        if isinstance(dependency, ParamsDependency):
            yield from self._parameters(dependency)
            return
        path = self._repository.relative(dependency.fs_path)
        if not dependency.is_in_repo:
            yield self._change(f"it reads {dependency.def_path}, which is outside the project", self._file)
            return
        if not dependency.hash_info:
            yield self._change(f"dvc.lock does not know its input {path}", self._lock)
            return
        producer = self._producers.get(dependency.fs_path)
        if producer is not None and producer.hash_info != dependency.hash_info:
            yield self._change(
                f"it ran on another {path} than stage {self._repository.name(producer.stage)} made", self._lock
            )
            return
        if producer is not None and producer.use_cache and not dependency.exists:
            return
        if producer is None and not dependency.exists and (output := self._around(dependency)) is not None:
            yield from self._part_of(output, dependency, path)
            return
        yield from self._state(dependency, path)

    def _parameters(self, dependency: Any) -> Iterator[StageChange]:
        path = self._repository.relative(dependency.fs_path)
        if not dependency.exists:
            yield self._change(f"{path} is missing", path)
            return
        if dependency.hash_info.value is None:
            yield self._change(f"dvc.lock does not know its parameters in {path}", self._lock)
            return
        before = dependency.hash_info.value
        now = self._files.parameters(dependency)
        for name in dependency.params or dict.fromkeys([*now, *before]):
            if name not in now or name not in before or now[name] != before[name]:
                yield self._change(f"{path}: {name} is {_value(now, name)}, it ran with {_value(before, name)}", path)

    def _output(self, out: Any) -> Iterator[StageChange]:
        path = self._repository.relative(out.fs_path)
        if not out.is_in_repo:
            yield self._change(f"it writes {out.def_path}, which is outside the project", self._file)
        elif not out.hash_info:
            yield self._change(f"dvc.lock does not know its output {path}", self._lock)
        elif out.exists or not out.use_cache:
            yield from self._state(out, path)

    def _state(self, item: Any, path: str) -> Iterator[StageChange]:
        """Compare the bytes in the work tree; pipes, devices and links that lead out are not opened."""
        root = self._repository.root
        odd = next(irregular_files(Path(item.fs_path), root, self._repository.cache), None)
        if odd:
            yield self._change(f"{odd[0]} is {odd[1]}, not a file", path)
            return
        state = next(iter(item.workspace_status().values()), None)
        if state == "deleted":
            yield self._change(f"{path} is missing", path)
        elif state:
            yield self._change(f"{path} is not what {self._lock} names", path)

    def _around(self, dependency: Any) -> Any | None:
        """The kept folder that an absent dependency lies in."""
        return next(
            (
                out
                for fs_path, out in self._producers.items()
                if out.use_cache and dependency.fs_path.startswith(fs_path + os.sep)
            ),
            None,
        )

    def _part_of(self, output: Any, dependency: Any, path: str) -> Iterator[StageChange]:
        kept = next(kept for kept in self._repository.kept if kept.path == self._repository.relative(output.fs_path))
        known = self._repository.leaves(kept).get(path)
        if known is None:
            yield StageChange(self._name, f"{path} is not here to be compared", self._lock, certain=False)
        elif known != dependency.hash_info.value:
            yield self._change(f"it ran on another {path} than {kept.path} now holds", self._lock)

    def _change(self, what: str, file: str) -> StageChange:
        return StageChange(self._name, what, file)


def _value(values: Any, name: str) -> str:
    if name not in values:
        return "absent"
    shown = ascii(values[name]) if not isinstance(values[name], str) else values[name]
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
