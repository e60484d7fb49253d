"""Follow a rehearsal in act's log: the state of each expected job, and why a job did not succeed."""

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
    """One line of the log. `job` is act's name for the job, empty where the line belongs to none."""

    text: str
    job: str = ""
    step: str = ""
    output: bool = False
    """Printed by a step, not by act."""
    step_starts: bool = False
    job_result: str = ""
    unmapped: str = ""
    """A runner label that this machine does not have."""
    error: str = ""
    """The message of an `::error::` of the step, after its title."""


def parse_line(raw: str) -> Line:
    """Read one line. What a step prints is output, even where it looks like a line of act's."""
    try:
        content = json.loads(raw)
    except (json.JSONDecodeError, RecursionError):
        return Line(strip_control(raw))
    if not isinstance(content, dict) or not isinstance(content.get("msg"), str):
        return Line(strip_control(raw))
    text, job = strip_control(content["msg"]), content.get("job")
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
        strip_control(str(step or "")).splitlines()[0] if step else "",
        step_starts=content.get("stage") == "Main" and text.startswith("⭐") and len(content.get("stepID") or ()) == 1,
        job_result=result if isinstance(result, str) else "",
        unmapped=unmapped[1] if unmapped else "",
        error=_error(content),
    )


def _error(content: dict[str, object]) -> str:
    message, pairs = content.get("arg"), content.get("kvPairs")
    if content.get("command") != "error" or not isinstance(message, str):
        return ""
    title = pairs.get("title") if isinstance(pairs, dict) else None
    return strip_control(f"{title}: {message}" if title else message).partition("\n")[0]


def strip_control(text: str) -> str:
    """Remove escape sequences and control characters, except tabs and line ends."""
    return _CONTROL.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n"))).rstrip("\n")


Watch = Callable[[RehearsedJob], None]
"""Called with a job whenever its state or its step changes."""
TAIL = 12
"""Lines that are shown of a failed job."""


def follow(
    plan: Plan, call: runner.Call, folder: Path, timeout: float | None, watch: Watch
) -> tuple[tuple[RehearsedJob, ...], str]:
    """Run act and read its log; returns every job with its result, and what else went wrong."""
    states = [_State(job, folder / "jobs" / f"{_file_name(job.name)}.log") for job in plan.jobs]
    other_lines, code = [], None
    with ExitStack() as stack:
        raw = stack.enter_context((folder / "act.log").open("w", encoding="utf-8", buffering=1))
        for state in states:
            state.stream = stack.enter_context(state.log.open("w", encoding="utf-8", buffering=1))
            watch(state.current())
        for item in runner.lines(call, timeout=timeout):
            if isinstance(item, int):
                code = item
                continue
            raw.write(item)
            line = parse_line(item)
            state = next((state for state in states if state.has_name(line.job)), None)
            if state is None:
                other_lines.append(line.text)
            elif state.update(line):
                watch(state.current())
    by_name: dict[str, RehearsedJob] = {}
    for state in states:
        by_name[state.job.name] = state.end(by_name)
        watch(by_name[state.job.name])
    jobs = tuple(by_name.values())
    broken = code != 0 and all(job.result is Result.SUCCESS for job in jobs)
    unstarted = code != 0 and not any(state.started for state in states)
    last = next((text for text in reversed(other_lines) if text.strip()), "no output")
    return jobs, f"act ended with status {code}: {last}" if broken or unstarted else ""


@dataclass
class _State:
    """One expected job while it runs. A matrix has several runs under one name; the worst counts."""

    job: Expected
    log: Path
    stream: IO[str] | None = None
    started: float | None = None
    ended: float | None = None
    step: str = ""
    results: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    unmapped: str = ""
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def has_name(self, name: str) -> bool:
        if name == self.job.key:
            return True
        return self.job.matrix and re.fullmatch(re.escape(self.job.key) + r"-\d+", name) is not None

    def update(self, line: Line) -> bool:
        """Read a line of the job; returns whether the display changes."""
        if line.unmapped:
            self.unmapped = line.unmapped
            return False
        changed = self.started is None
        self.started = self.started or time.perf_counter()
        self.runs.add(line.job)
        if self.stream:
            self.stream.write(f"{line.text}\n")
        if line.output and line.text.strip():
            self.output = [*self.output[-TAIL + 1 :], line.text.strip()]
        if line.error and line.error not in self.errors:
            self.errors.append(line.error)
        if line.step_starts:
            self.step, changed = line.text.removeprefix("⭐ Run Main ").splitlines()[0], True
        if line.job_result:
            self.results.append(line.job_result)
            self.ended, changed = time.perf_counter(), True
        return changed

    def current(self) -> RehearsedJob:
        done = self.results and len(self.results) >= len(self.runs)
        success = all(result == "success" for result in self.results)
        result = (Result.SUCCESS if success else Result.FAILURE) if done else Result.RUNNING
        return RehearsedJob(
            name=self.job.name,
            result=Result.WAITING if self.started is None else result,
            step="" if done else self.step,
            seconds=round((self.ended or time.perf_counter()) - self.started, 2) if self.started else 0.0,
            log=str(self.log),
        )

    def end(self, others: Mapping[str, RehearsedJob]) -> RehearsedJob:
        """The final state, with the reason where it is not a success."""
        last = self.current()
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
        return last.model_copy(update={"result": Result.SKIPPED, "reason": self._skip_reason(others), "log": None})

    def _tail(self) -> tuple[str, ...]:
        return tuple(self.errors[:TAIL] or self.output)

    def _skip_reason(self, others: Mapping[str, RehearsedJob]) -> str:
        if self.unmapped:
            return f"not run: this machine has no runner label {self.unmapped!r}; add --runner {self.unmapped}"
        unmet = [name for name in self.job.needs if name in others and others[name].result is not Result.SUCCESS]
        if unmet:
            return f"not run: it needs {', '.join(unmet)}, which did not succeed"
        if self.job.conditions:
            return f"not run: its condition is false: {' and '.join(self.job.conditions)}"
        return "not run: act reported no result"


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
