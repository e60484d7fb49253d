"""Whether `dvc.lock` matches `dvc.yaml`, parameters, code and data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.datasets.repository import Repository, dvc_errors
from beampermit.datasets.strays import is_lfs_pointer
from beampermit.datasets.workspace import irregular_files


@dataclass(frozen=True)
class StageChange:
    """A difference of a stage from its lock. `certain` is false if the data to compare are not on this machine;
    `fix` says what to do where `dvc repro` does not help."""

    stage: str
    what: str
    file: str
    certain: bool = True
    fix: str = ""


def stage_changes(repository: Repository) -> list[StageChange]:
    """Each stage's differences from its lock. Missing data are compared by the lock of the stage that makes them.

    Frozen stages are compared too: freezing does not make their outputs current. Raises `BadInput`.
    """
    producers = {out.fs_path: out for stage in repository.stages for out in stage.outs}
    files = _Files()
    changes: list[StageChange] = []
    with dvc_errors(repository.root):
        for stage in repository.stages:
            changes += _Stage(repository, stage, producers, files).changes()
    return changes


class _Files:
    """Files that many stages read, parsed once, since YAML is slow."""

    def __init__(self) -> None:
        self._locked: dict[Path, dict[str, Any]] = {}
        self._parameters: dict[str, Any] = {}

    def locked(self, lock: Path) -> dict[str, Any]:
        """The stages in a `dvc.lock`, which DVC has validated before, by name."""
        from dvc.utils.serialize import load_yaml

        if lock not in self._locked:
            content = load_yaml(str(lock)) if lock.is_file() else {}
            self._locked[lock] = content.get("stages") or {}
        return self._locked[lock]

    def parameters(self, dependency: Any) -> dict[str, Any]:
        """Dotted name -> value of the parameters that a dependency names and that exist; all if it names none."""
        import dpath
        from dvc.utils.serialize import load_path

        path = dependency.fs_path
        if path not in self._parameters:
            self._parameters[path] = load_path(path, dependency.repo.fs)
        content = self._parameters[path]
        names = dependency.params or list(content)
        absent = object()
        values = {name: dpath.get(content, name, separator=".", default=absent) for name in names}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not absent
        }


class _Stage:
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
            return [self._change("it is not in dvc.lock: it never ran", self._lock)]
        return list(self._all())

    def _all(self) -> Iterator[StageChange]:
        if self._pipeline and self._stage.cmd_changed:
            yield self._change("its command has changed", self._file)
        for dependency in self._stage.deps:
            # An import is fixed by the hash of its output; its source is never contacted.
            if not self._stage.is_import:
                yield from self._dependency(dependency)
        for out in self._stage.outs:
            yield from self._output(out)

    def _locked(self) -> bool:
        hashed = any(item.hash_info for item in (*self._stage.deps, *self._stage.outs))
        return hashed or self._stage.name in self._files.locked(self._repository.root / self._lock)

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
            yield self._change(f"its input {path} is not in dvc.lock", self._lock)
            return
        producer = self._producers.get(dependency.fs_path)
        if producer is not None and producer.hash_info != dependency.hash_info:
            yield self._change(
                f"it ran on another version of {path} than stage {self._repository.name(producer.stage)} made",
                self._lock,
            )
            return
        if producer is not None and producer.use_cache and not dependency.exists:
            return
        if producer is None and not dependency.exists and (output := self._containing_folder(dependency)) is not None:
            yield from self._part_of(output, dependency, path)
            return
        yield from self._state(dependency, path)

    def _parameters(self, dependency: Any) -> Iterator[StageChange]:
        path = self._repository.relative(dependency.fs_path)
        if not dependency.exists:
            yield self._change(f"{path} is missing", path)
            return
        locked = self._locked_parameters(dependency)
        if locked is None:
            yield self._change(f"its parameters in {path} are not in dvc.lock", self._lock)
            return
        current = self._files.parameters(dependency)
        for name in dependency.params or dict.fromkeys([*current, *locked]):
            if name not in current or name not in locked or current[name] != locked[name]:
                values = f"{_value(current, name)}, it ran with {_value(locked, name)}"
                yield self._change(f"{path}: {name} is {values}", path)

    def _locked_parameters(self, dependency: Any) -> dict[str, Any] | None:
        """The values that a stage ran with. DVC writes `./params.yaml` as `params.yaml`, and does not find it again."""
        if dependency.hash_info.value is not None or not self._pipeline:
            return dependency.hash_info.value
        body = self._files.locked(self._repository.root / self._lock).get(self._stage.name) or {}
        values = (
            values
            for file, values in (body.get("params") or {}).items()
            if os.path.normpath(os.path.join(self._stage.wdir, file)) == dependency.fs_path  # noqa: PTH118
        )
        return next(values, None)

    def _output(self, out: Any) -> Iterator[StageChange]:
        path = self._repository.relative(out.fs_path)
        if not out.is_in_repo:
            yield self._change(f"it writes {out.def_path}, which is outside the project", self._file)
        elif not out.hash_info and self._stage.is_import:
            command = f"`dvc update {self._file}`"
            fix = f"Run {command}, which downloads it, and commit `{self._file}`: `dvc repro` passes it over."
            yield self._change(f"{path} has no hash, for it was never downloaded: run {command}", self._lock, fix)
        elif not out.hash_info:
            yield self._change(f"its output {path} is not in dvc.lock", self._lock)
        elif out.exists or not out.use_cache:
            yield from self._state(out, path)

    def _state(self, item: Any, path: str) -> Iterator[StageChange]:
        """Compare the bytes in the work tree; pipes, devices and links to the outside are not opened."""
        root = self._repository.root
        irregular = next(irregular_files(Path(item.fs_path), root, self._repository.cache), None)
        if irregular:
            yield self._change(f"{irregular[0]} is {irregular[1]}, not a file", path)
            return
        state = next(iter(item.workspace_status().values()), None)
        if state == "deleted":
            yield self._change(f"{path} is missing", path)
        elif state and is_lfs_pointer(Path(item.fs_path)):
            pointer, fix = "is a pointer of Git LFS here, not the file: run `git lfs pull`", "Run `git lfs pull`."
            yield self._change(f"{path} {pointer}", path, fix)
        elif state:
            fix = self._fix_of_added(path) if item in self._stage.outs else ""
            yield self._change(f"{path} has another hash than in {self._lock}", path, fix)

    def _fix_of_added(self, path: str) -> str:
        """What to do where data of `dvc add` or of an import were changed: `dvc repro` alone passes them over."""
        undo = f"delete `{path}` and run `beampermit data pull`"
        if self._stage.is_import:
            return f"An import is changed at its source, and then by `dvc update {self._file}`; here, {undo}."
        if not self._stage.is_data_source:
            return ""
        return f"Run `dvc add {path}`, then `dvc push`, and commit `{self._file}`; if the change is a mistake, {undo}."

    def _containing_folder(self, dependency: Any) -> Any | None:
        """The output folder that contains a missing dependency."""
        return next(
            (
                out
                for fs_path, out in self._producers.items()
                if out.use_cache and dependency.fs_path.startswith(fs_path + os.sep)
            ),
            None,
        )

    def _part_of(self, output: Any, dependency: Any, path: str) -> Iterator[StageChange]:
        folder = self._repository.relative(output.fs_path)
        tracked = next(tracked for tracked in self._repository.outputs if tracked.path == folder)
        digest = self._repository.files(tracked).get(path)
        if digest is None:
            yield StageChange(self._name, f"{path} is missing and cannot be compared", self._lock, certain=False)
        elif digest != dependency.hash_info.value:
            yield self._change(f"it ran on another version of {path} than {folder} has now", self._lock)

    def _change(self, what: str, file: str, fix: str = "") -> StageChange:
        return StageChange(self._name, what, file, fix=fix)


def _value(values: Any, name: str) -> str:
    if name not in values:
        return "absent"
    shown = ascii(values[name]) if not isinstance(values[name], str) else values[name]
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
