"""Follow a rehearsal by act's log: each job that is expected, from waiting to its end, and why one did not succeed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from beampermit.rehearsal import runner
from beampermit.rehearsal.plan import Expected, Plan
from beampermit.rehearsal.record import RehearsedJob, Result

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[=>()][0-9A-B]?)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_UNMAPPED = re.compile(r"Skipping unsupported platform -- Try running with `-P (.*?)=\.\.\.`")


@dataclass(frozen=True)
class Line:
    """One line of the log. `job` is act's name for the job, nothing where the line belongs to none."""

    text: str
    job: str = ""
    step: str = ""
    output: bool = False
    """Printed by a step, not by act."""
    step_starts: bool = False
    job_result: str = ""
    unmapped: str = ""
    """The runner label that stands for nothing here."""
    error: str = ""
    """What an `::error::` of the step says, its title first."""


def parse(raw: str) -> Line:
    """Read one line. What a step printed can look like anything: it counts as output, whatever it says."""
    try:
        content = json.loads(raw)
    except (json.JSONDecodeError, RecursionError):
        return Line(clean(raw))
    if not isinstance(content, dict) or not isinstance(content.get("msg"), str):
        return Line(clean(raw))
    text, job = clean(content["msg"]), content.get("job")
    if not isinstance(job, str) or not job:
        return Line(text)
    job, step = job.strip(), content.get("step")
    if content.get("raw_output") is True:
        return Line(text, job, str(step or ""), output=True)
    unmapped = _UNMAPPED.search(text)
    result = content.get("jobResult")
    return Line(
        text.strip(),
        job,
        clean(str(step or "")).splitlines()[0] if step else "",
        step_starts=content.get("stage") == "Main" and text.startswith("⭐") and len(content.get("stepID") or ()) == 1,
        job_result=result if isinstance(result, str) else "",
        unmapped=unmapped[1] if unmapped else "",
        error=_error(content),
    )


def _error(content: dict[str, object]) -> str:
    said, pairs = content.get("arg"), content.get("kvPairs")
    if content.get("command") != "error" or not isinstance(said, str):
        return ""
    title = pairs.get("title") if isinstance(pairs, dict) else None
    return clean(f"{title}: {said}" if title else said).partition("\n")[0]


def clean(text: str) -> str:
    """Text without escape sequences and control characters; tabs and line ends stay."""
    return _CONTROL.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n"))).rstrip("\n")


Watch = Callable[[RehearsedJob], None]
"""Told of a job whenever its state or its step changes."""
TAIL = 12
"""Lines that are shown of a job that failed."""


def follow(
    plan: Plan, call: runner.Call, folder: Path, timeout: float | None, watch: Watch
) -> tuple[tuple[RehearsedJob, ...], str]:
    """Run act, read its log, give every job's end and what else went wrong."""
    states = [_State(job, folder / "jobs" / f"{_file_name(job.name)}.log") for job in plan.jobs]
    stray, code = [], None
    with ExitStack() as stack:
        raw = stack.enter_context((folder / "act.log").open("w", encoding="utf-8", buffering=1))
        for state in states:
            state.stream = stack.enter_context(state.log.open("w", encoding="utf-8", buffering=1))
            watch(state.seen())
        for item in runner.lines(call, timeout=timeout):
            if isinstance(item, int):
                code = item
                continue
            raw.write(item)
            line = parse(item)
            state = next((state for state in states if state.is_called(line.job)), None)
            if state is None:
                stray.append(line.text)
            elif state.take(line):
                watch(state.seen())
    by_name: dict[str, RehearsedJob] = {}
    for state in states:
        by_name[state.job.name] = state.end(by_name)
        watch(by_name[state.job.name])
    jobs = tuple(by_name.values())
    broken = code != 0 and all(job.result is Result.SUCCESS for job in jobs)
    unstarted = code != 0 and not any(state.started for state in states)
    said = next((text for text in reversed(stray) if text.strip()), "nothing was said")
    return jobs, f"act ended in {code}: {said}" if broken or unstarted else ""


@dataclass
class _State:
    """One expected job while it runs. A matrix has several runs under one name: the worst counts."""

    job: Expected
    log: Path
    stream: IO[str] | None = None
    started: float | None = None
    ended: float | None = None
    step: str = ""
    results: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    unmapped: str = ""
    said: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def is_called(self, name: str) -> bool:
        if name == self.job.key:
            return True
        return self.job.matrix and re.fullmatch(re.escape(self.job.key) + r"-\d+", name) is not None

    def take(self, line: Line) -> bool:
        """Learn from a line; say whether there is something new to show."""
        if line.unmapped:
            self.unmapped = line.unmapped
            return False
        new = self.started is None
        self.started = self.started or time.perf_counter()
        self.runs.add(line.job)
        if self.stream:
            self.stream.write(f"{line.text}\n")
        if line.output and line.text.strip():
            self.said = [*self.said[-TAIL + 1 :], line.text.strip()]
        if line.error and line.error not in self.errors:
            self.errors.append(line.error)
        if line.step_starts:
            self.step, new = line.text.removeprefix("⭐ Run Main ").splitlines()[0], True
        if line.job_result:
            self.results.append(line.job_result)
            self.ended, new = time.perf_counter(), True
        return new

    def seen(self) -> RehearsedJob:
        """As it stands."""
        done = self.results and len(self.results) >= len(self.runs)
        good = all(result == "success" for result in self.results)
        result = (Result.SUCCESS if good else Result.FAILURE) if done else Result.RUNNING
        return RehearsedJob(
            name=self.job.name,
            result=Result.WAITING if self.started is None else result,
            step="" if done else self.step,
            seconds=round((self.ended or time.perf_counter()) - self.started, 2) if self.started else 0.0,
            log=str(self.log),
        )

    def end(self, others: Mapping[str, RehearsedJob]) -> RehearsedJob:
        """As it ended; a job without a result did not succeed, and the reason says why."""
        last = self.seen()
        if last.result is Result.SUCCESS:
            return last
        if last.result is Result.FAILURE:
            return last.model_copy(update={"reason": f"failed at: {self.step}", "tail": self._tail()})
        if last.result is Result.RUNNING:
            return last.model_copy(
                update={
                    "result": Result.FAILURE,
                    "reason": f"ended without a result at: {self.step}",
                    "tail": self._tail(),
                }
            )
        return last.model_copy(update={"result": Result.SKIPPED, "reason": self._why_skipped(others), "log": None})

    def _tail(self) -> tuple[str, ...]:
        """What the job called errors, and what it said last where it called nothing so."""
        return tuple(self.errors[:TAIL] or self.said)

    def _why_skipped(self, others: Mapping[str, RehearsedJob]) -> str:
        if self.unmapped:
            return f"not run: no runner here carries the label {self.unmapped!r} (--runner {self.unmapped})"
        unmet = [name for name in self.job.needs if name in others and others[name].result is not Result.SUCCESS]
        if unmet:
            return f"not run: it needs {', '.join(unmet)}"
        if self.job.conditions:
            return f"not run: its condition was not met: {' and '.join(self.job.conditions)}"
        return "not run: act gave it no result"


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
