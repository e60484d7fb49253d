"""Pull requests of the demo: their workflows run side by side, while the next one is being made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from beampermit.demo.stage import Running, Stage, UnexpectedError


def open_pull_request(stage: Stage, branch: str) -> Running:
    """Push a branch, and begin to judge it."""
    stage.git("push", "--quiet", "origin", branch)
    return stage.start("beampermit", "rehearse", "pull-request", "--head", branch, "--json", name=branch)


def report_of(stage: Stage, branch: str, judged: Running, *, expect: int) -> str:
    """Wait for the verdict and keep the report for a reader; returns its Markdown.

    Raises `UnexpectedError` unless the rehearsal exits with `expect` and made a report.
    """
    record = json.loads(judged.printed_at_end(expect))
    folder = Path(record["artifacts"]) / "report"
    if not folder.is_dir():
        raise UnexpectedError("the workflow made no report", file=folder.parent, hint=f"ls {record['folder']}/jobs")
    stage.documents.mkdir(exist_ok=True)
    for kind in ("html", "md"):
        shutil.copy(folder / f"report.{kind}", stage.documents / f"report-{branch}.{kind}")
    return (folder / "report.md").read_text(encoding="utf-8")
