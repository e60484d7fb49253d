"""The report of a run as the one comment on its pull request.

What the run says of itself is believed for nothing but its content: whose pull request it is, which commit and how it
ended are GitHub's words, and the text is written here, from data that is read strictly.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from beampermit.documents.markdown import Markdown, logged, text
from beampermit.documents.report import FILE, LARGEST, Report, read_report
from beampermit.errors import BadInput
from beampermit.github import artifact, event, pulls, sticky
from beampermit.github.client import Client, Pull, Run
from beampermit.github.sticky import BOT, TITLE, Mark, Outcome, Posted, Sticky

ARTIFACT = "report"
BESIDE = re.compile(r"report\.(?:md|html)|summary\.md|plots/[a-z0-9-]{1,60}\.png")
"""What else `beampermit report` writes."""
UNJUDGED = ("action_required", "skipped", "stale")
"""Ends of runs that never began: a stranger's waits for a maintainer's approval."""


@dataclass(frozen=True)
class Commenter:
    """Writes comments titled `title` as `author`, with CML where `via_cml`; `expected` are interlocks by id."""

    client: Client
    expected: Mapping[str, str]
    title: str = TITLE
    author: str = BOT
    via_cml: bool = False

    def of_run(self, number: int) -> Posted:
        """Comment on the pull request that run `number` is about, from the artifact it left.

        Where the artifact cannot be accepted, the comment says so before `BadInput` is raised. Raises `Outside`.
        """
        run = event.load_run(self.client, number)
        if run.event != "pull_request":
            return Posted(Outcome.NOWHERE, f"run {run.id} was started by {logged(run.event)}, not by a pull request")
        if run.conclusion in UNJUDGED:
            return Posted(Outcome.NOWHERE, f"run {run.id} has judged nothing: it ended in {run.conclusion}")
        found = pulls.find_pull_requests(self.client, run)
        if len(found) > 1:
            named = ", ".join(str(pull.number) for pull in found)
            raise BadInput(
                f"pull requests {named} have the same head: nobody can tell which one run {run.id} is about",
                hint="close all but one, or put a commit on one of them",
            )
        if not found:
            return Posted(
                Outcome.NOWHERE,
                f"no open pull request has {run.head_sha[:12]} as its head: closed, deleted, or pushed to since",
            )
        mark = Mark(run.id, run.run_attempt, run.head_sha)
        try:
            report = self._report(run)
        except BadInput as error:
            self._post(found[0], _apology(self._source(run), error), mark)
            raise
        return self._post(found[0], self._text(report, run), mark)

    def of_folder(self, folder: Path, number: int | None) -> Posted:
        """Comment on pull request `number`, or the one this job runs for, from what `beampermit report` wrote.

        Raises `BadInput`, `Outside`.
        """
        number = number or event.pull_request_number()
        if number is None:
            raise BadInput("this job runs for no pull request", hint="name one: beampermit comment --pull NUMBER")
        file = folder / FILE
        if not file.is_file():
            raise BadInput("the file is missing", file=file, hint="beampermit report")
        with file.open("rb") as stream:
            report = read_report(stream.read(LARGEST + 1), self.expected, str(file))
        pull = pulls.load_pull_request(self.client, number)
        if pull.state != "open":
            return Posted(Outcome.NOWHERE, f"pull request {number} is closed")
        if pull.head.sha != report.head:
            words = f"the report is about {report.head[:12]}, pull request {number} is at {pull.head.sha[:12]}"
            return Posted(Outcome.STALE, words)
        return self._post(
            pull, report.markdown(), Mark(_number("GITHUB_RUN_ID"), _number("GITHUB_RUN_ATTEMPT"), report.head)
        )

    def _report(self, run: Run) -> Report:
        content = artifact.download_file(self.client, run.id, ARTIFACT, FILE, BESIDE, LARGEST)
        report = read_report(content, self.expected)
        if report.head != run.head_sha:
            raise BadInput(f"it is about {report.head[:12]}, its run is about {run.head_sha[:12]}", file=FILE)
        return report

    def _post(self, pull: Pull, report: str, mark: Mark) -> Posted:
        if pull.locked:
            return Posted(Outcome.NOWHERE, f"pull request {pull.number} is locked: it takes no comments")
        write = sticky.cml_writer(self.client, pull.number, self.title) if self.via_cml else None
        return Sticky(self.client, pull.number, self.title, self.author, write).post(report, mark)

    def _text(self, report: Report, run: Run) -> str:
        link = f"[run {run.id}]({self._address(run)})"
        where = Markdown(f"They stand in the summary of {link}, and in `report.html` among its artifacts.")
        return "\n".join((*_doubt(report, run), report.markdown(where=where), self._source(run)))

    def _source(self, run: Run) -> str:
        ended = f", which ended in {text(run.conclusion)}" if run.conclusion else ""
        return f"From [run {run.id}]({self._address(run)}), attempt {run.run_attempt}{ended}.\n"

    def _address(self, run: Run) -> str:
        server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
        return f"{server}/{self.client.repository}/actions/runs/{run.id}"


def _number(variable: str) -> int:
    """What a job says of its run; 0 outside of one."""
    found = os.environ.get(variable) or "0"
    if not re.fullmatch(r"[0-9]{1,18}", found):
        raise BadInput(
            f"{variable} is no number: {found[:20]!a}", hint=f"unset {variable}, outside of a workflow's job"
        )
    return int(found)


def _doubt(report: Report, run: Run) -> tuple[str, ...]:
    """Code of the pull request ran where the report was made: it can say what it likes, but not how the run ended."""
    if not report.judged.all_passed or run.conclusion in (None, "success"):
        return ()
    return ("> [!CAUTION]\n> This report says that all passed, and its run did not end well. Look at the run.\n",)


def _apology(source: str, error: BadInput) -> str:
    where = f"{text(error.place)}: " if error.place else ""
    return f"# ❌ No report\n\nWhat the run left cannot be shown: {where}{text(error.message)}.\n\n{source}"
