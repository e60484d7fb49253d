"""A project that is committed with CRLF at its line ends: both renders get them too, so that lines are compared."""

from __future__ import annotations

from pathlib import Path

from beampermit.git import Git, scratch_index


def follow_line_ends(git: Git, base: Path, new: Path) -> None:
    """Give files of the renders CRLF where the commit has it throughout the file.

    A file that the project has not, such as one under another name, gets what most of its files have. What a clone
    writes into its work tree is no matter: the commit decides.
    """
    ends = _line_ends(git)
    windows = {path for path, found in ends.items() if found == "crlf"}
    texts = {path for path, found in ends.items() if found in ("crlf", "lf", "mixed") and (base / path).is_file()}
    most = 2 * len(windows & texts) > len(texts)
    for folder in (base, new) if windows else ():
        for file in folder.rglob("*"):
            path = file.relative_to(folder).as_posix()
            if file.is_file() and (path in windows or (most and path not in ends)):
                _write(file)


def _line_ends(git: Git) -> dict[str, str]:
    """Path -> `lf`, `crlf`, `mixed`, `none` or `-text`, of what is committed."""
    with scratch_index() as env:
        git("read-tree", "HEAD", env=env)
        listed = git("ls-files", "--eol", "-z", env=env)
    lines = (line.partition("\t") for line in listed.split("\0") if line)
    return {path: about.split()[0].removeprefix("i/") for about, _, path in lines}


def _write(file: Path) -> None:
    content = file.read_bytes()
    if b"\0" not in content:
        file.write_bytes(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
