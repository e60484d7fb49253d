"""Verdicts of slow interlocks, reused on a laptop while nothing that they could read has changed.

The key is the git tree of the work tree, the state of what DVC and the environment put there, and the checker's
version. A permit accepts no reused verdict: CI starts from a fresh clone and runs every check.
"""

from __future__ import annotations

import os
from pathlib import Path

from beampermit import __version__
from beampermit.digest import digest_json
from beampermit.environments.environment import installation_records
from beampermit.errors import BadInput
from beampermit.files import write_text
from beampermit.project import Project
from beampermit.reading import read_json
from beampermit.verdicts.verdict import Verdict


class Reuse:
    """The kept verdicts of one project. `watched` are paths outside git that checks read: data, model, environment."""

    def __init__(self, project: Project, watched: tuple[Path, ...] = (), revisions: tuple[str, ...] = ()):
        self._file = project.own / "verdicts.json"
        self._key = digest_json(
            [
                __version__,
                project.git.work_tree(),
                project.base,
                [project.git.resolve(name) for name in revisions],
                [_state(path) for path in watched],
            ]
        )
        self._kept = self._load()

    @classmethod
    def of(cls, project: Project) -> Reuse | None:
        """None where there is no contract, which names the paths to watch."""
        if not project.has_contract:
            return None
        try:
            contract = project.contract
        except BadInput:
            return None
        files = {
            contract.model.path,
            contract.evaluation.inputs,
            contract.evaluation.scores or contract.evaluation.inputs,
            contract.dataset.raw,
            contract.dataset.labels,
        }
        watched = (
            *(project.path(file) for file in sorted(files | set(contract.dataset.splits.values()))),
            *installation_records(project.root),
        )
        return cls(project, watched, revisions=("refs/remotes/origin/beampermit-ledger",))

    def find(self, id: str) -> Verdict | None:
        kept = self._kept.get(id)
        return kept.model_copy(update={"reused": True}) if kept else None

    def keep(self, verdict: Verdict) -> None:
        self._kept[verdict.id] = verdict
        body = {id: kept.model_dump(mode="json") for id, kept in self._kept.items()}
        import json

        write_text(self._file, json.dumps({"key": self._key, "verdicts": body}))

    def _load(self) -> dict[str, Verdict]:
        try:
            content = read_json(self._file)
            if content["key"] != self._key:
                return {}
            return {id: Verdict.model_validate(kept) for id, kept in content["verdicts"].items()}
        except (BadInput, KeyError, ValueError, AttributeError, TypeError):
            return {}


def _state(path: Path) -> list[object]:
    """Names, sizes and times below `path`: cheap to read, and different once anything is written.

    The time of the last change of a file's status cannot be set by a program, unlike that of its content.
    """
    if not path.exists():
        return [str(path), None]
    files = [path] if path.is_file() else [Path(root, name) for root, _, names in os.walk(path) for name in names]
    states = ((str(file), file.lstat()) for file in files)
    return [str(path), sorted((name, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for name, state in states)]
