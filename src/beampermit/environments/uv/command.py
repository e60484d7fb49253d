"""The uv program that our own wheel of uv carries, and its failures in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from beampermit.digest import digest_file
from beampermit.environments.addresses import misnamed, packages_to_relock
from beampermit.environments.uv.lockfile import FILE, parse
from beampermit.errors import BadInput, BeampermitError, Failed, Outside
from beampermit.files import write_bytes, write_text
from beampermit.git import Git
from beampermit.processes import Finished, run

QUIET = {
    "NO_COLOR": "1",
    "UV_NO_PROGRESS": "1",
    # A runner or a control-room host has the Python it is given: none is fetched behind its keeper's back.
    "UV_PYTHON_DOWNLOADS": "never",
    # These would take the judgement of the lock away from us.
    "UV_FROZEN": "false",
    "UV_NO_CONFIG": "false",
    "UV_SKIP_WHEEL_FILENAME_CHECK": "false",
}
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
LONGEST = 320


def uv(arguments: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run uv in `cwd`.

    Raises `Failed` where the project is at fault (no solution, wrong hash, stale lock), `BadInput` for a file that uv
    cannot read, `Outside` for the network, a missing Python, a full disk and anything else.
    """
    finished = call(arguments, cwd=cwd, env=env)
    if finished.code:
        raise failure(finished.err)
    return finished


def call(arguments: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run uv in `cwd`, whatever its exit status."""
    from uv import find_uv_bin

    return run([find_uv_bin(), *arguments], cwd=cwd, env={**QUIET, **(env or {})})


def failure(said: str) -> BeampermitError:
    """What uv said on its way out, as one of our errors."""
    words = shorten(said)
    return _fault_of_project(said, words) or _fault_of_world(said, words)


def _fault_of_project(said: str, words: str) -> BeampermitError | None:
    if "No solution found" in said and "network was disabled" not in said:
        return Failed(words, file="pyproject.toml", hint="change what clashes, then run `beampermit env lock`")
    if "Hash mismatch" in said:
        return Failed(f"a file is not the one that was locked: {words}", file="uv.lock", hint="beampermit env lock")
    if "needs to be updated" in said:
        return Failed("the lock is stale", file="uv.lock", hint="beampermit env lock")
    if "Failed to parse" not in said and "TOML parse error" not in said:
        return None
    file = "uv.lock" if "uv.lock" in said else "pyproject.toml"
    return BadInput(words, file=file, line=_line(said), hint="beampermit env lock")


def _fault_of_world(said: str, words: str) -> BeampermitError:
    if any(sign in said for sign in PYTHON):
        return Outside(
            f"the Python that the project asks for is not on this machine: {words}",
            hint="install the Python version of requires-python in pyproject.toml, then run the command again",
        )
    if any(sign in said for sign in NETWORK):
        return Outside(f"an index cannot be reached: {words}", hint="check the network, then run the command again")
    return Outside(words)


def shorten(said: str) -> str:
    """Uv's `error:` with its causes as one line, without the hints and the output of other programs."""
    lines: list[str] = []
    for line in said.splitlines():
        text = line.strip()
        if text.startswith(("hint:", "warning:")) or (lines and text.startswith("[std")):
            if lines:
                break
            continue
        if text.startswith("error:") or lines:
            lines.append(re.sub(r"^(error:|cause:)\s*", "", text))
    words = " ".join(line for line in lines if line) or " ".join(said.split()) or "uv failed and said nothing"
    return words if len(words) <= LONGEST else words[: LONGEST - 1].rsplit(" ", 1)[0] + " …"


def _line(said: str) -> int | None:
    found = re.search(r"at line (\d+)", said)
    return int(found[1]) if found else None


@contextmanager
def start(root: Path) -> Iterator[tuple[str, ...]]:
    """Give the packages (`name==version`) whose entries uv must write anew, for they were edited by hand.

    A lock that cannot be read, such as one with merge-conflict markers, gives way to the last commit's, or to none.
    When the block fails, the file is again what it was.
    """
    file = root / FILE
    before = file.read_bytes() if file.is_file() else None
    try:
        yield _suspects(root, before)
    except BaseException:
        if before is not None:
            write_bytes(file, before)
        raise


def _suspects(root: Path, content: bytes | None) -> tuple[str, ...]:
    if content is None:
        return ()
    for text in (content.decode(errors="replace"), Git(root).read("HEAD", f"./{FILE}")):
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
    """Add `hash = "sha256:..."` to each local file of the lock at `root` that has none; change nothing else.

    Raises `Outside` where such a file is not on this machine.
    """
    file = root / FILE
    text = file.read_bytes().decode()
    lock = parse(text)
    done = text
    for package in lock.packages:
        for artifact in package.artifacts:
            if not artifact.local or artifact.sha256:
                continue
            path = root / artifact.address
            if not path.is_file():
                raise Outside(
                    f"{package} is locked from a local file that is not on this machine: {artifact.address}", file=FILE
                )
            done = _with_hash(done, artifact.file_name, digest_file(path))
    if done != text:
        write_text(file, done)


def _with_hash(text: str, file_name: str, digest: str) -> str:
    pattern = rf'(\{{ path = "(?:[^"]*/)?{re.escape(file_name)}")([^{{}}]*\}})'
    return re.sub(pattern, rf'\1, hash = "{digest}"\2', text)
