"""Writes the report of a run as the one comment on its pull request.

The run's artifact only provides the report's data, which is validated and rendered here. Pull request, commit and
outcome of the run come from GitHub, because code of the pull request can write anything into the artifact.
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
from beampermit.github import artifact, context, pull_requests, sticky
from beampermit.github.client import Client, Pull, Run
from beampermit.github.sticky import BOT, TITLE, Mark, Outcome, Posted, Sticky

ARTIFACT = "report"
BESIDE = re.compile(r"report\.(?:md|html)|summary\.md|plots/[a-z0-9-]{1,60}\.png")
"""The other files of the artifact, as `beampermit report` writes them."""
NEVER_STARTED = ("action_required", "skipped", "stale")
"""Conclusions of runs that did not start: a run of a first-time contributor waits for a maintainer's approval."""


@dataclass(frozen=True)
class Commenter:
    """Writes the comment `title` as `author`; `expected` are the titles of all interlocks by id."""

    client: Client
    expected: Mapping[str, str]
    title: str = TITLE
    author: str = BOT
    via_cml: bool = False

    def from_run(self, number: int) -> Posted:
        """Comment on the pull request of run `number`, from the run's artifact.

        Raises `BadInput` where the artifact is refused, after the comment says so; `Outside`.
        """
        run = context.load_run(self.client, number)
        if run.event != "pull_request":
            return Posted(Outcome.NOWHERE, f"run {run.id} was started by {logged(run.event)}, not by a pull request")
        if run.conclusion in NEVER_STARTED:
            return Posted(Outcome.NOWHERE, f"run {run.id} did not start: its conclusion is {run.conclusion}")
        pulls = pull_requests.find_pull_requests(self.client, run)
        if len(pulls) > 1:
            numbers = ", ".join(str(pull.number) for pull in pulls)
            raise BadInput(
                f"pull requests {numbers} have the same head commit, so run {run.id} could be about any of them",
                hint="close all but one, or push a commit to one of them",
            )
        if not pulls:
            return Posted(
                Outcome.NOWHERE,
                f"no open pull request has head {run.head_sha[:12]}: it was closed, or a newer commit was pushed",
            )
        mark = Mark(run.id, run.run_attempt, run.head_sha)
        try:
            report = self._read_report(run)
        except BadInput as error:
            self._post(pulls[0], _format_failure(self._format_source(run), error), mark)
            raise
        return self._post(pulls[0], self._format(report, run), mark)

    def from_folder(self, folder: Path, number: int | None) -> Posted:
        """Comment on pull request `number`, by default the job's, from the folder that `beampermit report` wrote.

        Raises `BadInput`, `Outside`.
        """
        number = number or context.pull_request_number()
        if number is None:
            raise BadInput("this job does not run for a pull request", hint="beampermit comment --pull NUMBER")
        file = folder / FILE
        if not file.is_file():
            raise BadInput("there is no report", file=file, hint="beampermit report")
        with file.open("rb") as stream:
            report = read_report(stream.read(LARGEST + 1), self.expected, str(file))
        pull = pull_requests.load_pull_request(self.client, number)
        if pull.state != "open":
            return Posted(Outcome.NOWHERE, f"pull request {number} is closed")
        if pull.head.sha != report.head:
            reason = f"the report is of commit {report.head[:12]}, pull request {number} is at {pull.head.sha[:12]}"
            return Posted(Outcome.STALE, reason)
        return self._post(
            pull, report.markdown(), Mark(_number("GITHUB_RUN_ID"), _number("GITHUB_RUN_ATTEMPT"), report.head)
        )

    def _read_report(self, run: Run) -> Report:
        content = artifact.download_file(self.client, run.id, ARTIFACT, FILE, BESIDE, LARGEST)
        report = read_report(content, self.expected)
        if report.head != run.head_sha:
            raise BadInput(f"the report is of commit {report.head[:12]}, its run of {run.head_sha[:12]}", file=FILE)
        return report

    def _post(self, pull: Pull, report: str, mark: Mark) -> Posted:
        if pull.locked:
            return Posted(Outcome.NOWHERE, f"pull request {pull.number} is locked and takes no comments")
        write = sticky.cml_writer(self.client, pull.number, self.title) if self.via_cml else None
        return Sticky(self.client, pull.number, self.title, self.author, write).post(report, mark)

    def _format(self, report: Report, run: Run) -> str:
        link = f"[run {run.id}]({self._url(run)})"
        where = Markdown(f"They are in the summary of {link}, and in `report.html` among its artifacts.")
        return "\n".join((*_format_caution(report, run), report.markdown(where=where), self._format_source(run)))

    def _format_source(self, run: Run) -> str:
        conclusion = f", conclusion {text(run.conclusion)}" if run.conclusion else ""
        return f"From [run {run.id}]({self._url(run)}), attempt {run.run_attempt}{conclusion}.\n"

    def _url(self, run: Run) -> str:
        server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
        return f"{server}/{self.client.repository}/actions/runs/{run.id}"


def _number(variable: str) -> int:
    """The number in a variable of the job; 0 outside a job."""
    value = os.environ.get(variable) or "0"
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise BadInput(f"{variable} is not a number: {value[:20]!a}", hint=f"unset {variable}")
    return int(value)


def _format_caution(report: Report, run: Run) -> tuple[str, ...]:
    """Code of the pull request can change the report, but not the conclusion of its run."""
    if not report.judged.all_passed or run.conclusion in (None, "success"):
        return ()
    return ("> [!CAUTION]\n> This report says that all interlocks passed, but its run failed. Check the run.\n",)


def _format_failure(source: str, error: BadInput) -> str:
    where = f"{text(error.place)}: " if error.place else ""
    return f"# ❌ No report\n\nThe report of this run was refused: {where}{text(error.message)}.\n\n{source}"
