"""A folder as an artifact store: each artifact is a folder of that name.

Runs inside a rehearsed job with the standard library alone. Names and paths come from workflows: they stay inside.
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
"""Variable that names the store's folder."""


class Refused(Exception):
    """What the real store would refuse as well, in words."""


def upload(
    store: Path, name: str, path: str, *, none: str = "warn", hidden: bool = False, overwrite: bool = False
) -> str:
    """Keep what `path` (files, folders or patterns, one a line) names as artifact `name`; say how much it was."""
    target = inside(store, name)
    if target.exists() and not overwrite:
        raise Refused(f"an artifact named {name!r} exists already in this run")
    files = collect(path, hidden)
    if not files:
        if none == "error":
            raise Refused(f"no files were found at {path.strip()!r}")
        return f"::warning::no files were found at {path.strip()!r}" if none == "warn" else ""
    store.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(dir=store, prefix=".half-"))
    for relative, file in files.items():
        copy(file, half / relative)
    shutil.rmtree(target, ignore_errors=True)
    half.rename(target)
    return f"kept {len(files)} files as {name}"


def download(store: Path, into: Path, *, name: str = "", pattern: str = "", merge: bool = False) -> str:
    """Copy one artifact by `name`, or those that `pattern` matches (all, if neither is given), below `into`."""
    if name:
        chosen = [inside(store, name)]
        if not chosen[0].is_dir():
            raise Refused(f"there is no artifact named {name!r} in this run")
    else:
        found = sorted(path for path in store.glob("*") if not path.name.startswith("."))
        chosen = [path for path in found if fnmatch.fnmatchcase(path.name, pattern or "*")]
    into.mkdir(parents=True, exist_ok=True)
    for artifact in chosen:
        folder = into if name or merge else into / artifact.name
        for file in artifact.rglob("*"):
            if file.is_file():
                copy(file, folder / file.relative_to(artifact))
    return f"gave back {len(chosen)} artifacts: {', '.join(path.name for path in chosen)}"


def inside(store: Path, name: str) -> Path:
    """The folder of an artifact. Raises `Refused` for a name that is none."""
    if not name or FORBIDDEN & set(name) or name.startswith("."):
        raise Refused(f"{name!r} is no name for an artifact")
    return store / name


def collect(lines: str, hidden: bool) -> "dict[str, Path]":
    """Files by their path in the artifact: below the folder that all lines have in common, as on GitHub."""
    patterns = [line.strip() for line in lines.splitlines() if line.strip()]
    if any(pattern.startswith("!") for pattern in patterns):
        raise Refused("patterns that leave files out (`!`) are not rehearsed")
    roots, files = [], []
    for pattern in patterns:
        for found in map(Path, sorted(glob.glob(pattern, recursive=True, include_hidden=True))):  # noqa: PTH207
            roots.append(found if found.is_dir() else found.parent)
            files += [found] if not found.is_dir() else [file for file in sorted(found.rglob("*")) if not file.is_dir()]
    if not files:
        return {}
    root = Path(os.path.commonpath([path.absolute() for path in roots]))
    named = {file.absolute().relative_to(root).as_posix(): file for file in files}
    seen = {name: file for name, file in named.items() if hidden or not any(p.startswith(".") for p in name.split("/"))}
    for name, file in seen.items():
        if file.is_symlink():
            raise Refused(f"{name} is a link; an artifact holds files")
    return seen


def copy(file: Path, target: Path) -> None:
    """Copy one file, its folders made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def main(verb: str) -> None:
    """Entry point of the two actions: inputs come as variables."""
    given, store = os.environ, Path(os.environ[STORE])
    try:
        if verb == "upload":
            said = upload(
                store,
                given["INPUT_NAME"],
                given["INPUT_PATH"],
                none=given["INPUT_NONE"],
                hidden=given["INPUT_HIDDEN"] == "true",
                overwrite=given["INPUT_OVERWRITE"] == "true",
            )
        else:
            said = download(
                store,
                Path(given["INPUT_PATH"] or "."),
                name=given["INPUT_NAME"],
                pattern=given["INPUT_PATTERN"],
                merge=given["INPUT_MERGE"] == "true",
            )
    except Refused as error:
        sys.exit(f"::error::{error}")
    sys.stdout.write(f"{said}\n")


if __name__ == "__main__":
    main(sys.argv[1])
