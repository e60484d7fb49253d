"""Installs the checker from this action's own commit, apart from the project that it is to judge.

It runs before anything is installed, so it uses the standard library alone. `setup.py checker` makes a folder with a
copy of this repository, an environment from its lock of hashes, and a `beampermit` command; `setup.py environment` lets
that command install the project's environment. Jobs that share a machine share both: the first one installs while
the others wait, and a stamp, written last, tells a whole installation from half of one. With FRESH=true nothing is used
that another run left.
"""

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("src", "template", "actions", ".github/workflows", "cookiecutter.json", "pyproject.toml", "requirements.lock")
LOCKS = ("uv.lock", "conda-lock.yml")
WITHOUT_WHEEL = "antlr4-python3-runtime"
"""The one package of the lock that is published as sources alone; DVC needs it."""
OLDEST_RUN, OLDEST = 24 * 3600, 14 * 24 * 3600
"""Seconds after which what a run installed for itself, and what no job used any more, is removed."""


def main(verb: str) -> None:
    """Install the `checker`, or the project's `environment` with the checker."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the runner's Python is whatever it is
        sys.exit(
            f"::error::Beampermit needs Python 3.11 or newer on the runner; python3 is {platform.python_version()}"
        )
    {"checker": checker, "environment": environment}[verb]()


def checker() -> None:
    """Make the `beampermit` command and put it on the path of the steps that follow."""
    files = sources(ROOT)
    digests = [f"{name} {file_digest(ROOT / name)}" for name in files]
    key = digest([platform.python_version(), platform.machine(), *requirements(), *digests])
    target = shelf() / "checker" / key
    with whole(target, key, target / "venv/bin/python") as missing:
        if missing:
            install(target, files)
    os.utime(target)
    forget(target.parent, OLDEST)
    if fresh():
        forget(shelf().parent, OLDEST_RUN)
    append("GITHUB_PATH", target / "bin")
    sys.stdout.write(f"checker {key[:12]} {'installed' if missing else 'found'} in {target}\n")


def install(target: Path, files: list[str]) -> None:
    """Copy the sources, install what they need by hash, write the command."""
    for name in files:
        copy = target / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)
    python = target / "venv/bin/python"
    uv = find_uv(target / "source/requirements.lock", target)
    run(uv, "venv", "--quiet", "--python", sys.executable, target / "venv")
    # The package itself is not built: a build would need a build backend, which the lock would have to name as well.
    wanted = [word for name in requirements() for word in ("-r", target / "source" / name)]
    hashed = ("--require-hashes", "--only-binary", ":all:", "--no-binary", WITHOUT_WHEEL)
    run(uv, "pip", "install", "--quiet", "--python", python, *hashed, *wanted)
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(packages, "beampermit.pth").write_text(f"{target / 'source/src'}\n")
    command = target / "bin/beampermit"
    command.parent.mkdir()
    # -I: neither the project's folder nor its PYTHONPATH can put code of its own in front of the checker's.
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -I -m beampermit.cli.main "$@"\n')
    command.chmod(0o755)


def requirements() -> "list[str]":
    """Of the checker's packages; where KEYLESS=true also of those more that sign as a workflow."""
    more = ["actions/setup/keyless.lock"] if os.environ.get("KEYLESS") == "true" else []
    return ["requirements.lock", *more]


def environment() -> None:
    """Install the environment that the project's lock names, and tell the steps that follow where it is."""
    variant = os.environ.get("VARIANT", "")
    locks = [path for path in map(Path, (*LOCKS, f"{variant}.conda-lock.yml")) if path.is_file()]
    key = digest([platform.machine(), variant, *(f"{path} {file_digest(path)}" for path in locks)])
    target = shelf() / "environments" / key
    # Told first: where the installation fails, the interlocks that follow say why.
    append("GITHUB_ENV", f"BEAMPERMIT_ENVIRONMENT={target}")
    with locked(target):
        command = ("beampermit", "env", "install", f"--variant={variant}")
        run(*command, env={**os.environ, **cache(), "BEAMPERMIT_ENVIRONMENT": str(target)})
    os.utime(target)
    forget(target.parent, OLDEST)


def shelf() -> Path:
    """Where installations are kept on this machine: by run where they must be fresh, for all runs otherwise."""
    base = Path(os.environ["RUNNER_TOOL_CACHE"]).resolve() / "beampermit"
    if not fresh():
        return base
    run_name = f"{os.environ.get('GITHUB_RUN_ID', '0')}-{os.environ.get('GITHUB_RUN_ATTEMPT', '1')}"
    return base / "runs" / run_name


def forget(folder: Path, seconds: int) -> None:
    """Remove what lies in `folder` and was not used for so long."""
    for old in folder.glob("*"):
        if old.is_dir() and time.time() - old.stat().st_mtime > seconds:
            shutil.rmtree(old, ignore_errors=True)


def fresh() -> bool:
    """Whether nothing that another run left may be used."""
    return os.environ.get("FRESH") == "true"


def cache() -> "dict[str, str]":
    """A fresh installation has a download cache of its own as well: what lies in the machine's was not hashed today."""
    return {"UV_CACHE_DIR": str(shelf() / "cache")} if fresh() else {}


@contextmanager
def whole(target: Path, stamp: str, python: Path):
    """Give whether `target` must be made; where the block ends well it is stamped, and half a one is removed before.

    An installation whose `python` has gone, because the machine's was replaced, is made again too.
    """
    mark = target / ".whole"
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
    """One job at a time; the lock goes with the process that held it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w") as stream:  # noqa: PTH123 - a name beside the folder, not inside it
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def find_uv(lock: Path, target: Path) -> "str | Path":
    """The machine's uv, or the one that the lock names, installed by hash."""
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
    """The files that make the checker, as paths below `root`."""
    found = []
    for part in PARTS:
        path = root / part
        found += [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sorted(file.relative_to(root).as_posix() for file in found if "__pycache__" not in file.parts)


def digest(lines: "list[str]") -> str:
    """sha256 of lines, as 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*command: "str | Path", env: "dict[str, str] | None" = None) -> None:
    """Run a command, its output in the job's log; its failure is ours."""
    words = [str(word) for word in command]
    code = subprocess.run(words, env=env or {**os.environ, **cache()}, check=False).returncode
    if code:
        sys.stdout.write(f"::error::{shlex.join(words[:4])} ended with {code}\n")
        sys.exit(code)


def append(variable: str, line: object) -> None:
    """Hand a line to the steps that follow."""
    with Path(os.environ[variable]).open("a") as stream:
        stream.write(f"{line}\n")


if __name__ == "__main__":
    main(sys.argv[1])
