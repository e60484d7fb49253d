"""Runs a project's tests in its own environment, and reads the result of each."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import IO, Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from beampermit.environments import Environment
from beampermit.errors import BadInput, Outside
from beampermit.processes import Finished
from beampermit.project import Project
from beampermit.reading import first_fault, parse_json
from beampermit.record import Record

TIMEOUT = 1800.0
"""Seconds after which tests that hang are stopped."""
LARGEST = 64 * 2**20
PLUGIN = Path(__file__).with_name("pytest_plugin.py")


Text = Annotated[str, Field(max_length=300, pattern=r"^\P{C}*$")]


class Case(Record, strict=True):
    """One test: `file` is relative to the project, `line` from 1.

    `expected` where the test is marked as one that may fail. `seen` is empty where the plugin saw that the test's
    function was called and raised nothing; else it says what it saw.
    """

    id: Text
    name: Text
    outcome: Literal["passed", "failed", "error", "skipped"]
    seconds: float = Field(ge=0)
    message: Text
    file: Text
    line: int | None = Field(ge=1)
    expected: bool
    seen: Text

    @property
    def place(self) -> str:
        """`file:line`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def counts(self) -> bool:
        """Whether the test passed, and had to."""
        return self.outcome == "passed" and not self.expected


class Collected(Record, strict=True):
    """One test that pytest collected, before options and hooks left any out.

    `source` and `qualname` are where its function is written; `function` is False for what is not a function of
    Python, and `watched` True where the plugin sees whether it is called.
    """

    id: Text
    file: Text
    line: int = Field(ge=1)
    name: Text
    source: Text
    qualname: Text
    function: bool
    watched: bool
    marks: list[Text]

    @property
    def gpu(self) -> bool:
        return "gpu" in self.marks


class Signed(Record, strict=True):
    """A report that has the word which only our code knows."""

    word: str


R = TypeVar("R", bound=Signed)


class Report(Signed, strict=True):
    """What the plugin writes: the tests in the order they ran, and the peak memory of one GPU in bytes.

    `options` are those of pytest that leave tests out, `settings` the file that pytest read its settings from.
    """

    cases: list[Case]
    collected: list[Collected]
    options: list[Text]
    settings: Text
    gpu_peak: int = Field(ge=0)


@dataclass(frozen=True)
class Ran:
    """One run of pytest. `trouble` says why there are no cases to judge; `peak` is in MiB of a GPU's memory."""

    cases: Sequence[Case] = ()
    collected: Sequence[Collected] = ()
    options: Sequence[str] = ()
    settings: str = ""
    code: int | None = None
    tail: str = ""
    trouble: str = ""
    peak: float = 0.0


def run_tests(project: Project, environment: Environment, folders: Sequence[str], *, gpu: bool = False) -> Ran:
    """Run the tests in `folders` that are marked `gpu`, or the ones that are not."""
    with tempfile.TemporaryDirectory() as temporary, tempfile.TemporaryFile() as written:
        plugin = Path(shutil.copy(PLUGIN, Path(temporary, "beampermit_pytest.py")))
        word = secrets.token_hex(16)
        try:
            finished = _pytest(project, environment, folders, plugin, gpu, word, written.fileno())
        except Outside as error:
            return Ran(trouble=error.message)
        try:
            report = read_report(Report, written, word, "pytest")
        except BadInput as error:
            return Ran(code=finished.code, trouble=_why_none(finished, error))
    return Ran(
        cases=report.cases,
        collected=report.collected,
        options=report.options,
        settings=report.settings,
        code=finished.code,
        tail=finished.tail,
        peak=report.gpu_peak / 2**20,
    )


def read_report(kind: type[R], file: IO[bytes], word: str, of: str) -> R:
    """Read what our code wrote beside the project's own, which may have written it too, and does not know `word`.

    Raises `BadInput`.
    """
    file.seek(0)
    text = file.read(LARGEST + 1)
    if not text:
        raise BadInput(f"{of} ended without a report")
    if len(text) > LARGEST:
        raise BadInput(f"the report of {of} is larger than {LARGEST} bytes")
    try:
        report = kind.model_validate(parse_json(text, f"the report of {of}"))
    except ValidationError as error:
        raise BadInput(f"the report of {of} cannot be read: {first_fault(error)}") from None
    if not secrets.compare_digest(report.word.encode(), word.encode()):
        raise BadInput(f"something else than Beampermit wrote the report of {of}")
    return report


def _pytest(
    project: Project,
    environment: Environment,
    folders: Sequence[str],
    plugin: Path,
    gpu: bool,
    word: str,
    descriptor: int,
) -> Finished:
    # What a project's settings leave out fails by name; but a GPU's tests are often among that.
    marked = ["-m", "gpu"] if gpu else []
    return environment.run(
        # Nothing of the project is on the path until the plugin has begun (-P, own_code).
        ["-P", plugin, str(descriptor), *folders, "-p", plugin.stem, *marked, "--quiet"],
        project=project.root,
        own_code=False,
        env={
            # Whoever runs the check has no say in which tests are run: PYTEST_ADDOPTS is not passed on.
            "BEAMPERMIT_GPU": "1" if gpu else "",
            "NO_COLOR": "1",
            "COLUMNS": "1000",  # or pytest cuts the cause off
        },
        timeout=TIMEOUT,
        stdin=word,
        pass_fds=(descriptor,),
    )


def _why_none(finished: Finished, error: BadInput) -> str:
    """Why pytest gave no report that can be read."""
    if "No module named 'pytest'" in finished.err:
        return "pytest is not in the locked environment: add it to the group dev of pyproject.toml"
    lines = [line for line in f"{finished.out}\n{finished.err}".splitlines() if line.strip()]
    # A cause may have several lines, of which the last only names the file that it is about.
    cause = [*takewhile(lambda line: line.startswith("E "), reversed(lines))][::-1]
    if cause:
        return f"pytest did not start: {' '.join(line[2:].strip() for line in cause)}"
    if finished.code == 0:
        return f"{error.message}, though its exit status is 0: something ended the process before the tests had"
    return f"{error.message}, exit status {finished.code}: {finished.tail}"
