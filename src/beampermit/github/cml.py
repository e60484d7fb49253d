"""Writing a comment with CML, where a laboratory wants that: its `cml comment update`, which creates as well."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from beampermit.errors import BadInput, Outside
from beampermit.files import write_text
from beampermit.github.client import Client
from beampermit.github.watermark import Mark, marked
from beampermit.processes import run

SECONDS = 120


def writer(client: Client, number: int, title: str) -> Callable[[str, Mark], None]:
    """What writes a comment on pull request `number`. Raises `BadInput` where there is no `cml`."""
    program = shutil.which("cml")
    if program is None:
        raise BadInput("there is no program 'cml' on this machine", hint="leave --via away: beampermit needs none")
    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"

    def write(report: str, mark: Mark) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.md"
            write_text(file, marked(report, mark))
            ended = run(
                [
                    *(program, "comment", "update", "--driver=github", "--publish=false", f"--target=pr/{number}"),
                    *(f"--watermark-title={title}", f"--repo={server}/{client.repository}", file),
                ],
                cwd=Path(folder),
                env={
                    "REPO_TOKEN": client.token,
                    # A watermark without a commit is one that CML itself does not find again.
                    **{"GITHUB_SHA": mark.head, "GITHUB_EVENT_NAME": ""},
                    "ITERATIVE_DO_NOT_TRACK": "1",
                    # It declares every folder of this machine safe for git, in whatever this names.
                    "GIT_CONFIG_GLOBAL": str(Path(folder) / "gitconfig"),
                },
                timeout=SECONDS,
            )
        if ended.code:
            raise Outside(f"cml writes no comment: {ended.tail.replace(client.token, '***')[:200]}")

    return write
