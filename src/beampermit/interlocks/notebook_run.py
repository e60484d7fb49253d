"""Runs notebooks with the kernel of this Python, and writes what became of each to a file descriptor.

It runs in a project's environment, which has no Beampermit: `python -P notebook_run.py DESCRIPTOR SRC NOTEBOOK...`. A
word on stdin is repeated in the report.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

LONGEST = 300


def main(descriptor: int, source: str, *paths: str) -> None:
    report: dict[str, Any] = {"word": sys.stdin.readline().strip(), "missing": "", "ran": []}
    # jsonschema would import it, to judge addresses that no notebook's schema has: its grammars take 2 s of CPU.
    sys.modules["rfc3987_syntax"] = None  # pyright: ignore[reportArgumentType]
    try:
        import ipykernel  # noqa: F401 - a kernel that does not start says less
        import nbclient  # noqa: F401
    except ImportError as error:
        report["missing"] = _line(error.name or "nbclient")
    else:
        report["ran"] = [_run(path, source) for path in paths]
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(report, stream)


def _run(path: str, source: str) -> dict[str, Any]:
    """`cell` counts from 1, of all cells; 0 where no cell is at fault."""
    import nbformat
    from nbclient import NotebookClient

    at = {"index": -1}

    def begun(cell_index: int, **_: Any) -> None:
        at["index"] = cell_index

    found: dict[str, Any] = {"path": path, "cells": 0, "cell": 0, "source": "", "message": ""}
    content: Any = None
    try:
        content = nbformat.reads(Path(path).read_text(encoding="utf-8-sig"), as_version=4)
        language = content.metadata.get("kernelspec", {}).get("language") or "python"
        if language.lower() != "python":
            return {**found, "message": f"it is for {_line(language)}, and the locked environment has Python only"}
        resources = {"metadata": {"path": str(Path(path).parent)}}
        client = NotebookClient(
            content,
            timeout=None,
            km=_kernel(source),
            resources=resources,
            on_cell_start=begun,
            skip_cells_with_tag=secrets.token_hex(16),  # none: a cell that never ran is not known to run
        )
        client.execute()
    except Exception as error:
        blamed = content.cells[at["index"]] if at["index"] >= 0 else None
        message = _said(blamed) or f"{type(error).__name__}: {error}"
        line = str(blamed.source).strip().partition("\n")[0] if blamed else ""
        return {**found, "cell": at["index"] + 1, "source": _line(line), "message": _line(message)}
    return {**found, "cells": client.code_cells_executed}


def _kernel(source: str) -> Any:
    """A kernel of this Python, whatever the notebook and the user's own kernels are called."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class Own(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            words = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=words, language="python", display_name=kernel_name, env={"PYTHONPATH": source})

    return AsyncKernelManager(kernel_name="locked", kernel_spec_manager=Own())


def _said(cell: Any) -> str:
    """The exception that the cell raised."""
    errors = [output for output in (cell or {}).get("outputs", ()) if output.get("output_type") == "error"]
    return f"{errors[-1].ename}: {errors[-1].evalue}" if errors else ""


def _line(text: object) -> str:
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
