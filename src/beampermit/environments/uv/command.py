"""Runs the uv of our own installation, and turns its failures into our errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from beampermit.cache import cache_folder
from beampermit.digest import digest_file
from beampermit.environments.addresses import misnamed, packages_to_relock
from beampermit.environments.uv.lockfile import FILE, parse
from beampermit.environments.uv.shape import FILE as PROJECT
from beampermit.errors import BadInput, BeampermitError, Failed, Outside
from beampermit.files import write_bytes, write_text
from beampermit.git import Git
from beampermit.processes import Finished, clean_variables, run

QUIET = {
    "NO_COLOR": "1",
    "UV_NO_PROGRESS": "1",
    # uv wraps its errors at the width of a terminal, and they are recognized by their words.
    "COLUMNS": "10000",
    # Administrators choose the Pythons of runners and control-room hosts: none is downloaded.
    "UV_PYTHON_DOWNLOADS": "never",
    # With these, uv would not check the lock.
    "UV_FROZEN": "false",
    "UV_NO_CONFIG": "false",
    "UV_SKIP_WHEEL_FILENAME_CHECK": "false",
}
PREFIX = "UV_PROJECT_ENVIRONMENT"
"""The variable that tells uv which environment it makes."""
CACHE = "UV_CACHE_DIR"
PASSED = re.compile(
    r"UV_(DEFAULT_INDEX|EXTRA_INDEX_URL|FIND_LINKS|INDEX(_\w+)?|NO_INDEX|KEYRING_PROVIDER|OFFLINE|"
    r"HTTP_\w+|REQUEST_TIMEOUT|CONCURRENT_\w+|NATIVE_TLS|SYSTEM_CERTS|LINK_MODE|COMPILE_BYTECODE)$|"
    r"NETRC$|SSH_AUTH_SOCK$|GIT_(SSH|CONFIG_(GLOBAL|SYSTEM))|(https?|all)_proxy$|DBUS_SESSION_BUS_ADDRESS$|"
    r"(CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS|CPATH|LIBRARY_PATH|PKG_CONFIG_PATH)$",
    re.IGNORECASE,
)
"""Variables that uv needs to reach and log in to indexes, and to build what has no wheel. Others of uv's name further
settings, caches and Pythons."""
PYTHON = ("No interpreter found", "Failed to inspect Python", "Querying Python at", "No Python at")
NETWORK = (
    "Failed to fetch",
    "Request failed after",
    "error sending request",
    "client error (Connect)",
    "dns error",
    "operation timed out",
    "network was disabled",
    "HTTP status server error",
    "Could not connect",
    "error decoding response body",
)
GROUPS = ("has malformed dependency groups", "is not defined in the project's `dependency-groups`")
REQUIRED_VERSION = re.compile(r"Required uv version `(.+?)` does not match the running version `(.+?)`")
UNREAD = re.compile(r"Failed to parse:? `?([^\s`]*(?:uv\.lock|\.toml))`?")
TOML_FAULT = re.compile(
    r"TOML parse error at line (?P<line>\d+), .*\n *\|\n *\d+ \| (?P<source>.*)\n *\|.*\n(?P<why>(?: +\S.*\n?)+)"
)
KEY = re.compile(r"\s*(\[.*\]|[\w.\"'-]+(?=\s*=[^=]))")
LONGEST = 320


def uv(arguments: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run uv in `cwd`.

    Raises `Failed` for no solution, a wrong hash or a stale lock, `BadInput` for a file that uv cannot read, `Outside`
    for the network, a missing Python, a full disk and anything else.
    """
    finished = call(arguments, cwd=cwd, env=env)
    if finished.code:
        raise failure(finished.err)
    return finished


def call(arguments: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run uv in `cwd`, whatever its exit status."""
    from uv import find_uv_bin

    # Packages without a wheel are built by code of their own.
    passed = clean_variables(name for name in os.environ if PASSED.match(name))
    # What lies in a cache is not hashed again: only ours is used, whatever a project or a variable names.
    variables = {**passed, **QUIET, CACHE: str(cache_folder() / "uv"), **(env or {})}
    return run([find_uv_bin(), *arguments], cwd=cwd, env=variables, clean=True)


def failure(output: str) -> BeampermitError:
    """The error for what uv printed."""
    reason = shorten(output)
    return _project_fault(output, reason) or _outside_fault(output, reason)


def _project_fault(output: str, reason: str) -> BeampermitError | None:
    if "No solution found" in output and "network was disabled" not in output:
        return Failed(reason, file=PROJECT, hint="change what clashes, then run `beampermit env lock`")
    if "Hash mismatch" in output:
        return Failed(f"a file has a wrong hash: {reason}", file="uv.lock", hint="beampermit env lock")
    if "needs to be updated" in output:
        return Failed("the lock does not match pyproject.toml", file="uv.lock", hint="beampermit env lock")
    return _setting_fault(output, reason) or _unreadable(output, reason)


def _setting_fault(output: str, reason: str) -> BadInput | None:
    if required := REQUIRED_VERSION.search(output):
        message = f"tool.uv.required-version is {required[1]}, but beampermit runs uv {required[2]}"
        return BadInput(f"{message}: change it, or install beampermit with a uv that it allows", file=PROJECT)
    if "project is marked as unmanaged" in output:
        return BadInput("tool.uv.managed is false: uv cannot lock the project; remove the setting", file=PROJECT)
    if any(sign in output for sign in GROUPS):
        return BadInput(reason, file=PROJECT)
    return None


def _unreadable(output: str, reason: str) -> BadInput | None:
    """A file that uv cannot read, with the line, and the key and value if uv shows them."""
    unread = UNREAD.search(reason)
    if unread is None:
        return None
    file = PurePath(unread[1]).name
    hint = "beampermit env lock" if file == FILE else ""
    fault = TOML_FAULT.search(output, output.find("error:"))
    if fault is None:
        why = reason[unread.end() :].strip() or reason
        return BadInput(f"uv cannot read {file}: {why}", file=file, hint=hint)
    key = KEY.match(fault["source"])
    why = ": ".join(line.strip() for line in fault["why"].splitlines() if line.strip(" ^"))
    message = _cut(f"uv cannot read {file}: {f'{key[1]}: ' if key else ''}{why}")
    return BadInput(message, file=file, line=int(fault["line"]), hint=hint)


def _outside_fault(output: str, reason: str) -> BeampermitError:
    if any(sign in output for sign in PYTHON):
        return Outside(
            f"no Python that requires-python allows is on this machine: {reason}",
            hint="install the Python version of requires-python in pyproject.toml, then run the command again",
        )
    if any(sign in output for sign in NETWORK):
        return Outside(f"an index cannot be reached: {reason}", hint="check the network, then run the command again")
    return Outside(reason)


def shorten(output: str) -> str:
    """uv's error with its causes as one line, without hints and the output of other programs."""
    lines: list[str] = []
    for line in output.splitlines():
        text = line.strip()
        if text.startswith(("hint:", "warning:")) or (lines and text.startswith("[std")):
            if lines:
                break
            continue
        if text.startswith("error:") or lines:
            lines.append(re.sub(r"^(error:|cause:)\s*", "", text))
    reason = " ".join(line for line in lines if line) or " ".join(output.split()) or "uv failed without a message"
    return _cut(reason)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rsplit(" ", 1)[0] + " …"


@contextmanager
def start(root: Path) -> Iterator[tuple[str, ...]]:
    """Give the packages (`name==version`) that were edited by hand, whose entries uv must write again.

    A lock that cannot be read, such as one with merge-conflict markers, is replaced by that of the last commit, or
    removed. When the block fails, the file is restored.
    """
    file = root / FILE
    before = file.read_bytes() if file.is_file() else None
    try:
        yield _edited_packages(root, before)
    except BaseException:
        if before is not None:
            write_bytes(file, before)
        raise


def _edited_packages(root: Path, content: bytes | None) -> tuple[str, ...]:
    if content is None:
        return ()
    for text in (content.decode(errors="replace"), Git(root).read("HEAD", FILE)):
        try:
            lock = parse(text or "")
        except BadInput:
            continue
        if misnamed(lock):  # uv refuses to read it.
            continue
        if text and text.encode() != content:
            write_text(root / FILE, text)
        return tuple(f"{package.name}=={package.version}" for package in packages_to_relock(lock))
    (root / FILE).unlink()
    return ()


def complete(root: Path) -> None:
    """Add the missing `hash = "sha256:..."` of local files to the lock. Raises `Outside` for a file that is missing."""
    file = root / FILE
    text = file.read_bytes().decode()
    lock = parse(text)
    completed = text
    for package in lock.packages:
        for artifact in package.artifacts:
            if not artifact.local or artifact.sha256:
                continue
            path = root / artifact.address
            if not path.is_file():
                raise Outside(
                    f"{package} is locked from a local file that is not on this machine: {artifact.address}", file=FILE
                )
            completed = _with_hash(completed, artifact.file_name, digest_file(path))
    if completed != text:
        write_text(file, completed)


def _with_hash(text: str, file_name: str, digest: str) -> str:
    pattern = rf'(\{{ path = "(?:[^"]*/)?{re.escape(file_name)}")([^{{}}]*\}})'
    return re.sub(pattern, rf'\1, hash = "{digest}"\2', text)
