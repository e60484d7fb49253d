"""TST005: notebooks have no outputs in the commit, and those that the contract names run."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from beampermit.contract import FILE_NAME, Contract
from beampermit.environments import Environment
from beampermit.errors import BadInput, BeampermitError, Outside, counted, several
from beampermit.git import SUBMODULE
from beampermit.interlocks.interlock import PROJECT_CODE, Finding, Interlock, failed, passed
from beampermit.interlocks.pytest_run import TIMEOUT, Signed, Text, read_report
from beampermit.project import Project
from beampermit.record import Record
from beampermit.verdicts.verdict import Location

RUNNER = Path(__file__).with_name("notebook_run.py")
LARGEST = 64 * 2**20
"""Bytes of a notebook, and of the report about all that ran."""
LINK = "120000"
CHECKPOINTS = ".ipynb_checkpoints"
OF_THE_USER = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
VERSIONS = ("version_major", "version_minor")
"""Of the format of widgets' state."""
PACKAGES = ("nbclient", "ipykernel")


class One(Record, strict=True):
    """What became of a notebook: `cell` counts all cells from 1, and is 0 where none is at fault."""

    path: str
    cells: int = Field(ge=0)
    cell: int = Field(ge=0)
    source: Text
    message: Text

    @property
    def fault(self) -> str:
        if not self.message:
            return ""
        if not self.cell:
            return self.message
        return (
            f"cell {self.cell} ({self.source}): {self.message}" if self.source else f"cell {self.cell}: {self.message}"
        )


class Report(Signed, strict=True):
    missing: Text
    ran: list[One]


@dataclass(frozen=True)
class Rules:
    """The stricter of the base branch's contract and this one's: `run` are patterns, `own` those of this branch."""

    refused: bool
    run: tuple[str, ...]
    own: tuple[str, ...]

    @classmethod
    def of(cls, contract: Contract, base: Contract) -> Rules:
        refused = "refused" in (contract.notebooks.outputs, base.notebooks.outputs)
        run = tuple(dict.fromkeys((*base.notebooks.run, *contract.notebooks.run)))
        return cls(refused, run, contract.notebooks.run)


class TST005(Interlock):
    "Notebooks have no outputs, and those that must run do"

    requires = frozenset({"ENV005"})
    decided_by = PROJECT_CODE

    def check(self, project: Project, contract: Contract, base_contract: Contract, environment: Environment) -> Finding:
        """A notebook in the commit has outputs, which `notebooks.outputs` in `contract.yaml` refuses, or a cell raises
        in one that `notebooks.run` names.

        Clear outputs in Jupyter (Edit, Clear Outputs of All Cells, then save), with
        `jupyter nbconvert --clear-output --inplace FILE`, or at each commit with nbstripout, and commit the notebook.
        nbstripout also takes out the state of widgets.
        Try a notebook that must run with Kernel, Restart and Run All, in the kernel of `beampermit env kernel`.
        """
        rules = Rules.of(contract, base_contract)
        paths = list(find_notebooks(project))
        if not (rules.refused or rules.run):
            return passed(f"the contract has no rule for notebooks ({counted(len(paths), 'notebook')})")
        if rules.refused and (faults := dict(_with_outputs(project, paths))):
            return _failed(faults)
        without = " without outputs" if rules.refused else ""
        return _run(project, environment, rules, paths, f"{counted(len(paths), 'notebook')}{without}")


def _run(project: Project, environment: Environment, rules: Rules, paths: Sequence[str], summary: str) -> Finding:
    chosen = [path for path in paths if any(fnmatchcase(path, pattern) for pattern in rules.run)]
    for pattern in rules.own:
        if not any(fnmatchcase(path, pattern) for path in chosen):
            return failed(f"notebooks.run names {pattern}, and there is no such notebook in the commit", FILE_NAME)
    if not chosen:
        return passed(summary)
    if faults := {path: fault for path in chosen if (fault := _not_a_notebook(project.root / path))}:
        return _failed(faults)
    ran, trouble = run_notebooks(project, environment, chosen)
    if trouble:
        return failed(trouble, *chosen)
    if faults := {one.path: one.fault for one in ran if one.fault}:
        return _failed(faults)
    return passed(f"{summary}; {len(ran)} ran ({counted(sum(one.cells for one in ran), 'cell')})")


def find_notebooks(project: Project) -> Iterator[str]:
    """Those of the commit, or that come into it by `git add --all`, without what Jupyter keeps beside them."""
    for path, mode in sorted(project.git.work_files().items()):
        file = project.root / path
        if not path.lower().endswith(".ipynb") or CHECKPOINTS in PurePosixPath(path).parts or mode in (LINK, SUBMODULE):
            continue
        if file.is_file() and not file.is_symlink():
            yield path


def find_outputs(content: bytes) -> str:
    """The first cell that has outputs or was counted, and how many more, or the state of widgets; empty if none.

    Raises `BadInput` for what is not a notebook.
    """
    notebook = _parsed(content)
    faults = [f"cell {number} {what}" for number, cell in enumerate(_cells(notebook), 1) if (what := _left_in(cell))]
    if _has_widgets(notebook.get("metadata")):
        faults.append("the state of widgets is in its metadata")
    return several(faults) if faults else ""


def _parsed(content: bytes) -> dict[str, Any]:
    """Raises `BadInput` for what is not a notebook, as an empty file is none for Jupyter."""
    if not content.strip():
        raise BadInput("is not a notebook, for it is empty")
    try:
        # Not `parse_json`: a plot may have NaN, and no rule of ours is about that.
        notebook = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise BadInput(f"is not a notebook, for it is not JSON{f' (line {line})' if line else ''}") from None
    if not isinstance(notebook, dict):
        raise BadInput("is not a notebook, for it holds no object")
    return notebook


def _not_a_notebook(file: Path) -> str:
    try:
        _parsed(file.read_bytes())
    except BadInput as error:
        return error.message
    return ""


def run_notebooks(project: Project, environment: Environment, paths: Sequence[str]) -> tuple[list[One], str]:
    """Run notebooks in the locked environment, each in its own folder; why none can be judged, or nothing."""
    word = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as written:
        source = project.root / "src"
        # What the user has set for Jupyter and IPython is not the project's.
        own: dict[str, str] = dict.fromkeys(
            ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"), folder
        )
        try:
            finished = environment.run(
                ["-P", RUNNER, str(written.fileno()), source, *(project.root / path for path in paths)],
                project=project.root,
                own_code=False,
                env=own,
                timeout=TIMEOUT,
                stdin=f"{word}\n",
                pass_fds=(written.fileno(),),
            )
        except Outside as error:
            return [], error.message
        try:
            report = read_report(Report, written, word, "the notebooks")
        except BadInput as error:
            return [], f"{error.message}, exit status {finished.code}: {finished.tail}"
    if report.missing:
        names = " and ".join(PACKAGES)
        return [], f"{report.missing} is not in the locked environment: add {names} to the group dev of pyproject.toml"
    own_path = {str(project.root / path): path for path in paths}
    ran = [one.model_copy(update={"path": own_path[one.path]}) for one in report.ran if one.path in own_path]
    if len(ran) != len(paths):
        return [], "the report of the notebooks is not complete"
    return ran, ""


def _with_outputs(project: Project, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    for path in paths:
        if (size := (project.root / path).stat().st_size) > LARGEST:
            yield path, f"has {size / 2**20:.0f} MiB, and without outputs no notebook has {LARGEST // 2**20}"
        elif (fault := _fault((project.root / path).read_bytes())) and (fault := _fault(_committed(project, path))):
            yield path, fault


def staged_outputs(project: Project, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Which of `paths` in the repository are staged with outputs, where the contract refuses them; nothing where it
    cannot be read."""
    git = project.git
    try:
        refused = project.has_contract and Rules.of(project.contract, project.base_contract).refused
    except BeampermitError:
        return
    for path in paths:
        if not refused or not path.startswith(git.prefix):
            continue
        stored = git.top.try_("cat-file", "blob", f":{path}")
        if stored.code == 0 and (fault := _fault(stored.out.encode())):
            yield path, fault


def _fault(content: bytes) -> str:
    try:
        outputs = find_outputs(content)
    except BadInput as error:
        return error.message
    return outputs and f"has outputs: {outputs}"


def _committed(project: Project, path: str) -> bytes:
    """What git stores of a file: a filter such as nbstripout takes outputs out on the way."""
    attribute = project.git("check-attr", "-z", "filter", "--", path).split("\0")[2]
    if attribute in ("unspecified", "unset"):
        return (project.root / path).read_bytes()
    with project.git.apart() as git:
        stored = git("hash-object", "-w", "--path", path, "--", path)
        return git("cat-file", "blob", stored).encode()


def _cells(notebook: dict[str, Any]) -> list[Any]:
    """Of any format: before the fourth, they are in worksheets."""
    sheets = notebook.get("worksheets")
    places = [notebook, *(sheets if isinstance(sheets, list) else [])]
    lists = [place.get("cells") for place in places if isinstance(place, dict)]
    return [cell for cells in lists if isinstance(cells, list) for cell in cells]


def _left_in(cell: Any) -> str:
    if not isinstance(cell, dict):
        return ""
    if cell.get("outputs"):
        return "has outputs"
    counted_ones = (cell.get("execution_count"), cell.get("prompt_number"))
    return "has an execution count" if any(count is not None for count in counted_ones) else ""


def _has_widgets(metadata: Any) -> bool:
    """Whether anything was rendered by widgets: Jupyter has it below `state` of a type, Colab below the type itself.

    A notebook whose widgets were closed keeps the type, its version and an empty state.
    """
    kinds = metadata.get("widgets") if isinstance(metadata, dict) else None
    if not isinstance(kinds, dict):
        return bool(kinds)
    return any(
        any(value for key, value in kind.items() if key not in VERSIONS) if isinstance(kind, dict) else bool(kind)
        for name, kind in kinds.items()
        if name not in VERSIONS
    )


def _failed(faults: dict[str, str]) -> Finding:
    places = (Location(file=path, reason=fault) for path, fault in sorted(faults.items()))
    reasons = [f"{path} {fault}" for path, fault in sorted(faults.items())]
    return failed(several(reasons), *places)
