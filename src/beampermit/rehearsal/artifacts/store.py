"""A folder as artifact store, in which each artifact is a folder.

Runs inside a rehearsed job with the standard library alone. Names come from workflows and must not lead outside.
"""

import fnmatch
import glob
import os
import shutil
import sys
import tempfile
from pathlib import Path

FORBIDDEN = set('":<>|*?\r\n\\/')
STORE = "BEAMPERMIT_REHEARSAL_ARTIFACTS"
"""Variable with the folder of the store."""


class Refused(Exception):
    """GitHub's artifact store would refuse it too."""


def upload(
    store: Path, name: str, path: str, *, none: str = "warn", hidden: bool = False, overwrite: bool = False
) -> str:
    """Store the files of `path` (files, folders or patterns, one per line) as artifact `name`; returns a message."""
    target = inside(store, name)
    if target.exists() and not overwrite:
        raise Refused(f"this run already has an artifact named {name!r}")
    files = collect(path, hidden)
    if not files:
        if none == "error":
            raise Refused(f"no files were found at {path.strip()!r}")
        return f"::warning::no files were found at {path.strip()!r}" if none == "warn" else ""
    store.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=store, prefix=".partial-"))
    for relative, file in files.items():
        copy(file, partial / relative)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return f"stored {len(files)} file{'s' * (len(files) > 1)} as {name}"


def download(store: Path, into: Path, *, name: str = "", pattern: str = "", merge: bool = False) -> str:
    """Copy one artifact by `name`, or those that `pattern` matches (all, if neither is given), below `into`."""
    if name:
        chosen = [inside(store, name)]
        if not chosen[0].is_dir():
            raise Refused(f"this run has no artifact named {name!r}")
    else:
        stored = sorted(path for path in store.glob("*") if not path.name.startswith("."))
        chosen = [path for path in stored if fnmatch.fnmatchcase(path.name, pattern or "*")]
    into.mkdir(parents=True, exist_ok=True)
    for artifact in chosen:
        folder = into if name or merge else into / artifact.name
        for file in artifact.rglob("*"):
            if file.is_file():
                copy(file, folder / file.relative_to(artifact))
    return f"downloaded {', '.join(path.name for path in chosen)}"


def inside(store: Path, name: str) -> Path:
    """The folder of an artifact. Raises `Refused` for an invalid name."""
    if not name or FORBIDDEN & set(name) or name.startswith("."):
        raise Refused(f"{name!r} is not a valid artifact name")
    return store / name


def collect(lines: str, hidden: bool) -> "dict[str, Path]":
    """Path in the artifact -> file. Paths start below the folder that all lines have in common, as on GitHub."""
    patterns = [line.strip() for line in lines.splitlines() if line.strip()]
    if any(pattern.startswith("!") for pattern in patterns):
        raise Refused("exclude patterns (`!`) are not supported in a rehearsal")
    roots, files = [], []
    for pattern in patterns:
        for path in map(Path, sorted(glob.glob(pattern, recursive=True, include_hidden=True))):  # noqa: PTH207
            roots.append(path if path.is_dir() else path.parent)
            files += [path] if not path.is_dir() else [file for file in sorted(path.rglob("*")) if not file.is_dir()]
    if not files:
        return {}
    root = Path(os.path.commonpath([path.absolute() for path in roots]))
    named = {file.absolute().relative_to(root).as_posix(): file for file in files}
    seen = {name: file for name, file in named.items() if hidden or not any(p.startswith(".") for p in name.split("/"))}
    for name, file in seen.items():
        if file.is_symlink():
            raise Refused(f"{name} is a link; artifacts contain only files")
    return seen


def copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def main(verb: str) -> None:
    """Entry point of the two actions, whose inputs are variables."""
    inputs, store = os.environ, Path(os.environ[STORE])
    try:
        if verb == "upload":
            message = upload(
                store,
                inputs["INPUT_NAME"],
                inputs["INPUT_PATH"],
                none=inputs["INPUT_NONE"],
                hidden=inputs["INPUT_HIDDEN"] == "true",
                overwrite=inputs["INPUT_OVERWRITE"] == "true",
            )
        else:
            message = download(
                store,
                Path(inputs["INPUT_PATH"] or "."),
                name=inputs["INPUT_NAME"],
                pattern=inputs["INPUT_PATTERN"],
                merge=inputs["INPUT_MERGE"] == "true",
            )
    except Refused as error:
        sys.exit(f"::error::{error}")
    sys.stdout.write(f"{message}\n")


if __name__ == "__main__":
    main(sys.argv[1])
