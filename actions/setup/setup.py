"""Install the checker from the commit of this action, separate from the project that it checks.

It runs before anything is installed, so it uses the standard library alone. `setup.py checker` makes a folder with a
copy of this repository, an environment from its lock with hashes, and a `beampermit` command; `setup.py environment`
lets that command install the project's environment, and `setup.py interlocks` the laboratory's own interlocks, by hash,
as the protected branch names them. Jobs on the same machine share both: the first one installs while
the others wait, and a stamp that is written last marks a complete installation. With FRESH=true nothing is used that
another run left.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "src",
    "template",
    "actions",
    ".github/workflows",
    "cookiecutter.json",
    "CHANGELOG.md",
    "pyproject.toml",
    "requirements.lock",
)
LOCKS = ("uv.lock", "conda-lock.yml")
CACHE, OWN = "BEAMPERMIT_CACHE", "BEAMPERMIT_INTERLOCKS"
STORES = ("s3", "azure", "gs")
"""Schemes of DVC remotes that need packages of their own, each with a lock here."""
ADDRESS = re.compile(r"""\s*(["']?)url\1\s*=\s*(?:""\"|'''|["']?)(?P<scheme>\w+)://""", re.IGNORECASE)
"""A remote's address in DVC's configuration, which takes names and values with quotes, and names of any case."""
WITHOUT_WHEEL = "antlr4-python3-runtime"
"""The only package of the lock without a wheel; DVC needs it."""
OLDEST_RUN, OLDEST = 24 * 3600, 14 * 24 * 3600
"""Seconds after which installations for one run, and unused shared installations, are removed."""


def main(verb: str) -> None:
    """Install the `checker` or, with it, the project's `environment` or the laboratory's own `interlocks`."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the runner may have any Python
        sys.exit(
            f"::error::Beampermit needs Python 3.11 or newer on the runner; python3 is {platform.python_version()}"
        )
    {"checker": checker, "environment": environment, "interlocks": interlocks}[verb]()


def checker() -> None:
    """Install the `beampermit` command and add it to the path of the following steps."""
    files = sources(ROOT)
    digests = [f"{name} {file_digest(ROOT / name)}" for name in files]
    key = digest([platform.python_version(), platform.machine(), *requirements(), *digests])
    target = shelf() / "checker" / key
    with complete(target, key, target / "venv/bin/python") as missing:
        if missing:
            install(target, files)
    os.utime(target)
    forget(target.parent, OLDEST)
    if fresh():
        forget(shelf().parent, OLDEST_RUN)
    append("GITHUB_PATH", target / "bin")
    sys.stdout.write(f"checker {key[:12]} {'installed' if missing else 'found'} in {target}\n")


def install(target: Path, files: list[str]) -> None:
    """Copy the sources, install their requirements by hash, write the command."""
    for name in files:
        copy = target / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)
    if re.fullmatch(r"[0-9a-f]{40}", ROOT.name):  # GitHub names the folder by the commit; for `beampermit update`
        (target / "source/release.json").write_text(json.dumps({"commit": ROOT.name}))
    python = target / "venv/bin/python"
    uv = find_uv(target / "source/requirements.lock", target)
    run(uv, "venv", "--quiet", "--python", sys.executable, target / "venv")
    # The package itself is not built, because the lock would then have to contain a build backend too.
    options = [word for name in requirements() for word in ("-r", target / "source" / name)]
    hashed = ("--require-hashes", "--only-binary", ":all:", "--no-binary", WITHOUT_WHEEL)
    run(uv, "pip", "install", "--quiet", "--python", python, *hashed, *options)
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(packages, "beampermit.pth").write_text(f"{target / 'source/src'}\n")
    command = target / "bin/beampermit"
    command.parent.mkdir()
    # -I: code in the project's folder or PYTHONPATH must not shadow that of the checker.
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -I -m beampermit.cli.main "$@"\n')
    command.chmod(0o755)


def requirements() -> "list[str]":
    """The lock files of the checker; with KEYLESS=true also that of Sigstore, with LIVE=true that of the service.

    Those of object stores where the project's data are on one.
    """
    extras = [name.lower() for name in ("KEYLESS", "LIVE") if os.environ.get(name) == "true"]
    return ["requirements.lock", *(f"actions/setup/{extra}.lock" for extra in (*extras, *stores()))]


def stores() -> "list[str]":
    """The kinds of object stores that DVC's configuration names, on the base branch: never that of a pull request."""
    commit = base()
    schemes = set()
    for name in git("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).split("\0"):
        if name == ".dvc/config" or name.endswith("/.dvc/config"):
            lines = git("show", f"{commit}:{name}").splitlines()
            schemes |= {found["scheme"].lower() for line in lines if (found := ADDRESS.match(line))}
    return [store for store in STORES if store in schemes]


def base() -> str:
    """The commit that a pull request or a merge queue starts from; else the one that is checked out."""
    if branch := os.environ.get("GITHUB_BASE_REF"):
        return f"refs/remotes/origin/{branch}"
    if os.environ.get("GITHUB_EVENT_NAME") == "merge_group":
        event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text())
        return str(event["merge_group"]["base_sha"])
    return "HEAD"


def git(*words: str) -> str:
    """What git says; nothing where it fails, as outside of a repository."""
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False, errors="replace").stdout


def environment() -> None:
    """Install the project's locked environment, and pass its folder to the following steps."""
    variant = os.environ.get("VARIANT", "")
    locks = [path for path in map(Path, (*LOCKS, f"{variant}.conda-lock.yml")) if path.is_file()]
    key = digest([platform.machine(), variant, *(f"{path} {file_digest(path)}" for path in locks)])
    target = shelf() / "environments" / key
    if fresh():
        # What was recorded of this installation is what the following steps compare it with.
        append("GITHUB_ENV", f"{CACHE}={cache()[CACHE]}")
    # If it fails, the interlocks that follow say why, and no code runs in what another run has left there.
    append("GITHUB_ENV", f"BEAMPERMIT_ENVIRONMENT={target}-not-installed")
    with locked(target):
        command = ("beampermit", "env", "install", f"--variant={variant}")
        run(*command, env={**os.environ, **cache(), "BEAMPERMIT_ENVIRONMENT": str(target)})
    append("GITHUB_ENV", f"BEAMPERMIT_ENVIRONMENT={target}")
    os.utime(target)
    forget(target.parent, OLDEST)


def interlocks() -> None:
    """Install the laboratory's own interlocks, and pass their folder to the following steps.

    The command reads the protected branch's lock, never the pull request's. If it fails, the steps go on for the sake
    of the report: GIT006 fails, and without these interlocks no permit is made.
    """
    target = shelf() / "interlocks"
    append("GITHUB_ENV", f"{OWN}={target}")
    command = ("beampermit", "interlocks", "install")
    if subprocess.run(command, env={**os.environ, **cache(), OWN: str(target)}, check=False).returncode:
        sys.stdout.write("::error::the laboratory's own interlocks are not installed\n")
    forget(target, OLDEST)


def shelf() -> Path:
    """The folder of installations on this machine: one for each run if they must be fresh, otherwise for all runs."""
    base = Path(os.environ["RUNNER_TOOL_CACHE"]).resolve() / "beampermit"
    if not fresh():
        return base
    run_name = f"{os.environ.get('GITHUB_RUN_ID', '0')}-{os.environ.get('GITHUB_RUN_ATTEMPT', '1')}"
    return base / "runs" / run_name


def forget(folder: Path, seconds: int) -> None:
    """Remove folders in `folder` that were not used for `seconds`."""
    for old in folder.glob("*"):
        if old.is_dir() and time.time() - old.stat().st_mtime > seconds:
            shutil.rmtree(old, ignore_errors=True)


def fresh() -> bool:
    """Whether nothing of another run may be used."""
    return os.environ.get("FRESH") == "true"


def cache() -> "dict[str, str]":
    """A fresh installation also has its own caches, since files in the machine's are not verified again.

    uv installs the checker from the first; the checker keeps its own in the second, uv's among them.
    """
    return {"UV_CACHE_DIR": str(shelf() / "cache"), CACHE: str(shelf() / "beampermit")} if fresh() else {}


@contextmanager
def complete(target: Path, stamp: str, python: Path):
    """Yield whether `target` must be installed, after removing an incomplete installation; stamp it at the end.

    An installation whose `python` is gone, because that of the machine was replaced, is made again too.
    """
    mark = target / ".complete"
    with locked(target):
        missing = not (mark.is_file() and mark.read_text() == stamp and python.exists())
        if missing:
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
        yield missing
        if missing:
            mark.write_text(stamp)


@contextmanager
def locked(target: Path):
    """One job at a time; the lock ends with its process."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w") as stream:  # noqa: PTH123 - a file next to the folder
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def find_uv(lock: Path, target: Path) -> "str | Path":
    """The machine's uv, or that of the lock, installed by hash."""
    found = shutil.which("uv")
    if found:
        return found
    lines = lock.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("uv=="))
    end = next((n for n in range(start + 1, len(lines)) if not lines[n].startswith(" ")), len(lines))
    wanted = target / "uv.txt"
    wanted.write_text("\n".join(lines[start:end]) + "\n")
    run(sys.executable, "-m", "venv", target / "uv")
    run(target / "uv/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", wanted)
    return target / "uv/bin/uv"


def sources(root: Path) -> "list[str]":
    """The files of the checker, relative to `root`."""
    found = []
    for part in PARTS:
        path = root / part
        found += [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sorted(file.relative_to(root).as_posix() for file in found if "__pycache__" not in file.parts)


def digest(lines: "list[str]") -> str:
    """SHA-256 of lines, 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*command: "str | Path", env: "dict[str, str] | None" = None) -> None:
    """Run a command with its output in the log; exit if it fails."""
    words = [str(word) for word in command]
    code = subprocess.run(words, env=env or {**os.environ, **cache()}, check=False).returncode
    if code:
        sys.stdout.write(f"::error::{shlex.join(words[:4])} failed with exit code {code}\n")
        sys.exit(code)


def append(variable: str, line: object) -> None:
    """Pass a line to the following steps."""
    with Path(os.environ[variable]).open("a") as stream:
        stream.write(f"{line}\n")


if __name__ == "__main__":
    main(sys.argv[1])
