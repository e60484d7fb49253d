"""Pull requests of the demo: their workflows run side by side, while the next one is being made."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path

from beampermit.demo.stage import Running, Stage, UnexpectedError


class PullRequests:
    """Branches that were pushed, and the rehearsal of each."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._rehearsals: dict[str, Running] = {}

    def close(self) -> None:
        """End what is still judged."""
        self._stack.close()

    def open(self, stage: Stage, branch: str) -> None:
        """Push a branch, and begin to judge it."""
        stage.git("push", "--quiet", "origin", branch)
        words = ("beampermit", "rehearse", "pull-request", "--head", branch, "--json")
        running = stage.start(*words, name=branch)
        self._stack.callback(running.close)
        self._rehearsals[branch] = running

    def report(self, stage: Stage, branch: str, *, expect: int) -> str:
        """Wait for the verdict and keep the report for a reader; returns its Markdown.

        Raises `UnexpectedError` unless the rehearsal exits with `expect` and made a report.
        """
        record = json.loads(self._rehearsals[branch].printed_at_end(expect))
        folder = Path(record["artifacts"]) / "report"
        if not folder.is_dir():
            raise UnexpectedError("the workflow made no report", file=folder.parent, hint=f"ls {record['folder']}/jobs")
        stage.documents.mkdir(exist_ok=True)
        for kind in ("html", "md"):
            shutil.copy(folder / f"report.{kind}", stage.documents / f"report-{branch}.{kind}")
        return (folder / "report.md").read_text(encoding="utf-8")
