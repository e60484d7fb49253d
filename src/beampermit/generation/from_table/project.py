"""`beampermit new --from-table`: the project of a table, with its contract, its parameters and a copy under DVC."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.errors import Outside
from beampermit.files import write_text
from beampermit.generation.drafting import contract_text
from beampermit.generation.from_table.draft import Drafted, draft
from beampermit.generation.from_table.reading import copy_table, open_file
from beampermit.generation.from_table.roles import Asked, Roles, roles
from beampermit.generation.from_table.survey import survey
from beampermit.generation.template import problem
from beampermit.generation.tracking import track
from beampermit.progress import Progress, silent

TABLE = "data/table.parquet"
"""The copy of the table in the project."""
PARAMS = "params.yaml"
EXAMPLE = "table"
"""Answer to the template's question `example`."""


class TableProject:
    """What a table makes of a project: `defaults` of its answers, and `fill` of its folder."""

    def __init__(self, file: Path, copy: Path, found: Roles):
        self._file = file
        self._copy = copy
        self._found = found
        self.drafted: Drafted | None = None

    @property
    def defaults(self) -> dict[str, str]:
        """Answers that the table gives, where nobody gives others."""
        return {
            "project_slug": slug_of(self._file),
            "summary": f"TODO what the model tells, in one sentence for operators; from {self._file.name}"[:200],
        }

    def fill(self, project: Path, answers: Mapping[str, str]) -> None:
        """Write contract, parameters and table into the project. Raises `Outside` where DVC does not take the table."""
        self.drafted = draft(self._found, open_file(self._copy), TABLE, answers["library"])
        write_text(project / FILE_NAME, contract_text(self.drafted.draft, answers))
        parameters = project / PARAMS
        write_text(parameters, with_kinds(parameters.read_text(encoding="utf-8"), self.drafted))
        (project / TABLE).parent.mkdir(exist_ok=True)
        shutil.copyfile(self._copy, project / TABLE)
        track(project, TABLE)


def prepare(file: Path, asked: Asked, scratch: Path, progress: Progress = silent) -> TableProject:
    """Read the table once, into a copy in the folder `scratch`. Raises `BadInput`, before anything is generated."""
    copy = scratch / "table.parquet"
    headers = copy_table(file, copy, progress)
    found = roles(survey(copy, headers, progress), open_file(copy), asked, str(file))
    return TableProject(file, copy, found)


def slug_of(file: Path) -> str:
    """A project's name from that of the table."""
    words = re.sub(r"[^a-z0-9]+", "-", file.name.lower().partition(".")[0]).strip("-")[:50].strip("-")
    words = words if re.match(r"[a-z]", words) else f"table-{words}".strip("-")
    return words if not problem("package_name", words.replace("-", "_")) else f"{words}-model"


def with_kinds(parameters: str, drafted: Drafted) -> str:
    """The template's parameters with the outputs that are classes and the inputs that are categories of this table."""
    classes = "[" + ", ".join(f"[{', '.join(names)}]" for names in drafted.classes) + "]"
    categories = "{" + ", ".join(f"{_key(name)}: {count}" for name, count in drafted.categories.items()) + "}"
    for key, value in (("classes", classes), ("categories", categories)):
        parameters, count = re.subn(rf"(?m)^(\s+{key}: ).*$", lambda match: match[1] + value, parameters)  # noqa: B023
        if count != 1:
            raise Outside(
                f"the template's {PARAMS} has no train.{key}", hint="pip install --force-reinstall beampermit"
            )
    return parameters


def _key(name: str) -> str:
    return f'"{name}"'
