"""The source `simulator`: the project's own stage `request`, run in its own environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.datasets.requests.query import Answer, Query
from beampermit.datasets.workspace import plain_file
from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.progress import Progress
from beampermit.reading import read_json

MODULES = ("pipeline/request.py", "request.py")
"""Below `src/<package>`: of a project made from the template, and of one that was there before."""


class Simulator:
    """`python -m <package>.pipeline.request`, or `<package>.request`, as DVC's stage runs it.

    It runs in a folder of links to the project's files, without the table, so that the new table can be compared with
    the project's before it replaces it.
    """

    def __init__(self, query: Query) -> None:
        self.query = query

    def answer(self, progress: Progress) -> Answer:
        """Run it. Raises `BadInput` if there is no such module, `Failed` if it fails or writes no table."""
        module = self._module()
        folder = self.query.folder / "project"
        shutil.rmtree(folder, ignore_errors=True)
        self._link(folder)
        progress(f"python -m {module}", 0, 1)
        finished = self.query.run_python(["-m", module], folder)
        if finished.code:
            raise Failed(f"python -m {module} failed: {finished.tail}", hint=f"python -m {module}")
        progress(f"python -m {module}", 1, 1)
        try:
            table = plain_file(folder, self.query.raw)
        except BeampermitError:
            raise Failed(f"python -m {module} did not write {self.query.raw}", file=FILE_NAME) from None
        return Answer(table, sidecar=self._sidecar(table))

    def _module(self) -> str:
        source = self.query.root / "src"
        modules = [file.relative_to(source) for name in MODULES for file in sorted(source.glob(f"*/{name}"))]
        if len(modules) == 1:
            return ".".join(modules[0].with_suffix("").parts)
        raise BadInput(
            f"the source {self.query.request.source!r} runs src/<package>/{MODULES[0]} to write {self.query.raw};"
            f" there {'are several' if modules else 'is none'}",
            file=FILE_NAME,
            hint="name signals in dataset.request, or write that module",
        )

    def _link(self, folder: Path) -> None:
        """Link the project's files into `folder`; the table's parent folders are made anew."""
        root, parents = self.query.root, Path(self.query.raw).parts[:-1]
        for depth in range(len(parents) + 1):
            path = Path(*parents[:depth])
            (folder / path).mkdir(parents=True, exist_ok=True)
            excluded = {parents[depth]} if depth < len(parents) else self._written()
            for entry in (root / path).iterdir() if (root / path).is_dir() else ():
                if entry.name not in {*excluded, ".git", ".beampermit"}:
                    os.symlink(entry, folder / path / entry.name)  # noqa: PTH211 - the target may be a link itself

    def _written(self) -> set[str]:
        raw = Path(self.query.raw)
        return {raw.name, raw.with_suffix(".json").name}

    def _sidecar(self, table: Path) -> Path | None:
        """The sidecar that the function wrote. Raises `Failed` if its sha256 is not the table's."""
        from beampermit.digest import sha256_file

        file = table.with_suffix(".json")
        if not file.is_file() or file.is_symlink():
            return None
        content = read_json(file)
        digest = str(content.get("sha256", "")).removeprefix("sha256:") if isinstance(content, dict) else ""
        if digest != sha256_file(table):
            raise Failed(f"{self.query.raw} does not have the sha256 in the sidecar that was written with it")
        return file
