"""act's log, one JSON object a line: what happened to which job. Any other line is kept, never believed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

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
