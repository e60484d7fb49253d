"""The project's own function: its module `request`, run in its own environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.datasets.requests.inputs import plain_file
from beampermit.datasets.requests.source import Answer, Asked
from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.progress import Progress
from beampermit.reading import read_json

MODULE = "request"


class Simulator:
    """`python -m <package>.request`, as DVC's stage runs it.

    It runs in a folder where everything of the project is linked but the table is not there, so what it writes can be
    compared with what the project has before it takes its place.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    def answer(self, progress: Progress) -> Answer:
        """Run it. Raises `BadInput` where there is no such module, `Failed` where it fails or writes no table."""
        module = self._module()
        folder = self.asked.folder / "project"
        shutil.rmtree(folder, ignore_errors=True)
        self._link(folder)
        progress(f"python -m {module}", 0, 1)
        finished = self.asked.work(["-m", module], folder)
        if finished.code:
            raise Failed(f"python -m {module} failed: {finished.tail}", hint=f"python -m {module}")
        progress(f"python -m {module}", 1, 1)
        try:
            table = plain_file(folder, self.asked.raw)
        except BeampermitError:
            raise Failed(f"python -m {module} did not write {self.asked.raw}", file=FILE_NAME) from None
        return Answer(table, sidecar=self._sidecar(table))

    def _module(self) -> str:
        found = sorted(self.asked.root.glob(f"src/*/{MODULE}.py"))
        if len(found) == 1:
            return f"{found[0].parent.name}.{MODULE}"
        what = "no" if not found else "more than one"
        raise BadInput(
            f"the source {self.asked.request.source!r} is the project's own function, and there is {what}"
            f" src/<package>/{MODULE}.py that makes {self.asked.raw}",
            file=FILE_NAME,
            hint="name the signals in dataset.request, or write that module",
        )

    def _link(self, folder: Path) -> None:
        """Everything of the project at `folder`, down to where the table is to be; that folder is made new."""
        root, parents = self.asked.root, Path(self.asked.raw).parts[:-1]
        for depth in range(len(parents) + 1):
            here = Path(*parents[:depth])
            (folder / here).mkdir(parents=True, exist_ok=True)
            beside = {parents[depth]} if depth < len(parents) else self._written()
            for entry in (root / here).iterdir() if (root / here).is_dir() else ():
                if entry.name not in {*beside, ".git", ".beampermit"}:
                    os.symlink(entry, folder / here / entry.name)  # noqa: PTH211 - the target may be a link itself

    def _written(self) -> set[str]:
        raw = Path(self.asked.raw)
        return {raw.name, raw.with_suffix(".json").name}

    def _sidecar(self, table: Path) -> Path | None:
        """The one that the function wrote, if it tells the truth about the table."""
        from beampermit.digest import digest_file

        file = table.with_suffix(".json")
        if not file.is_file() or file.is_symlink():
            return None
        content = read_json(file)
        said = str(content.get("sha256", "")).removeprefix("sha256:") if isinstance(content, dict) else ""
        if said != digest_file(table).removeprefix("sha256:"):
            raise Failed(f"{self.asked.raw} does not have the sha256 that the sidecar written with it says")
        return file
