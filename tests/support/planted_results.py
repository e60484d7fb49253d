"""Results and verdicts to plant in a project."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beampermit.project import Project
from beampermit.verdicts.verdict import Location, Outcome, Verdict, VerdictFile, Where
from beampermit.verdicts.writing import write_verdicts

EXPECTED = {"DAT004": "Rows keep the contract", "PRF002": "Not worse", "DOC001": "Two owners"}
METRICS = {"auc": 0.9712, "false_alarm_rate": 0.031, "recall_stuck": 0.91, "brier": 0.04}
PLOTS = {
    "roc": [[0, 0], [0, 0.7], [0.1, 0.97], [1, 1]],
    "confusion": {"tp": 80, "fp": 12, "fn": 9, "tn": 700},
    "training": [[1, 0.7, 0.72], [2, 0.4, 0.45], [3, 0.2, 0.3]],
}
LOCK = """schema: '2.0'
stages:
  request:
    cmd: python -m bpm_faults.request
    outs:
    - {path: data/raw.parquet, hash: md5, md5: %s, size: 1234567}
    - {path: data/dataset, hash: md5, md5: bbbb.dir, size: 2234567, nfiles: 3}
"""


def write(project: Project, name: str, content: Any) -> None:
    path = project.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def commit(git: Callable[..., str], message: str) -> None:
    git("add", "--all")
    git("commit", "--quiet", "--message", message)


def verdict(id: str, outcome: Outcome = Outcome.PASSED, reason: str = "looked at", **more: Any) -> Verdict:
    return Verdict(id=id, title=EXPECTED.get(id, "A title"), outcome=outcome, reason=reason, **more)


def failed(id: str, reason: str = "row 3 is out of range") -> Verdict:
    place = (Location(file="data/raw.parquet", line=3),)
    return verdict(id, Outcome.FAILED, reason, fix="Run `dvc repro`.\n\nThen commit.", locations=place, exit_code=1)


def judged(project: Project, path: Path, *verdicts: Verdict, commit: str | None = None, host: str = "ci") -> None:
    """Write a job's verdicts."""
    where = Where(host=host, system="Linux", python="3.11.7")
    head, tree = commit or project.git.head(), project.git.work_tree()
    write_verdicts(path, VerdictFile(checker="0.1.0", commit=head, tree=tree, where=where, verdicts=verdicts))
