"""Writes into a new project what a later template is merged with: `.cruft.json` and `.cruft.render.json`.

Standard library only: the template's last hook runs it, with cookiecutter alone and with `beampermit new`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
ANSWERS, RENDERED = ".cruft.json", ".cruft.render.json"
RELEASE = "release.json"
"""Beside the template's folder, where a build has put it: version and commit."""
SKIPPED = (".git", ANSWERS, RENDERED)
"""What `cruft update` leaves alone: the repository that a render is, and what each update writes as a whole."""
BUILT = ("__pycache__", ".pyc")
PIPELINE = re.compile(r"src/[^/]+/pipeline/.*\.py")
PIN = re.compile(rb"(/\.github/workflows/ml-[\w-]+\.yml@|\.git#)[0-9a-f]{40}(['\"]?)([ \t]+# \S+)?")
"""Of our workflows, and of the checker in an image: a release moves them in two commits after its own."""
LOGIN = re.compile(r"(?<=://)[^/@]+@")


def record(project: Path, template: Path, context: Mapping[str, Any]) -> None:
    """`context` holds the answers and, below names that begin with `_`, what cookiecutter adds."""
    answers = {key: value for key, value in context.items() if not key.startswith("_")}
    source = origin(template)
    written = {
        "template": source["template"] or f"https://github.com/{answers['beampermit_repository']}",
        "commit": source["commit"],
        "checkout": context.get("_checkout"),
        "context": {"cookiecutter": answers},
        "directory": template.name,
        "skip": list(SKIPPED),
        "beampermit": {
            "format": FORMAT,
            "version": source["version"],
            "commit": source["commit"],
            "template": digest(template),
        },
    }
    _write(project / RENDERED, rendered(project), indent=1)
    _write(project / ANSWERS, written, indent=2)


def rendered(project: Path) -> dict[str, Any]:
    """The files as the template wrote them, by lines, but for the pipeline's: those are Beampermit's and never merged.

    Text, so that people see what changes in it, and git keeps no more than that.
    """
    written = {}
    for file in sorted(project.rglob("*")):
        name = file.relative_to(project).as_posix()
        if not file.is_file() or name.split("/")[0] in SKIPPED or PIPELINE.fullmatch(name):
            continue
        content = file.read_bytes()
        try:
            body: dict[str, Any] = {"lines": content.decode().split("\n")}
        except UnicodeDecodeError:
            body = {"base64": base64.b64encode(content).decode()}
        written[name] = body | ({"executable": True} if file.stat().st_mode & 0o100 else {})
    return {"format": FORMAT, "files": written}


def digest(template: Path) -> str:
    """Of all files of the template but for its pins, by which two versions of it are known to be the same.

    The checker of a release's workflows is the first of its three commits, and projects are made from the last.
    """
    contents = ((name, PIN.sub(rb"\1\2", file.read_bytes())) for name, file in sorted(files(template)))
    listed = [f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in contents]
    return f"sha256:{hashlib.sha256(''.join(listed).encode()).hexdigest()}"


def files(template: Path) -> Iterator[tuple[str, Path]]:
    for file in template.rglob("*"):
        if file.is_file() and not any(part.endswith(BUILT) for part in file.parts):
            yield file.relative_to(template).as_posix(), file


def origin(template: Path) -> dict[str, str | None]:
    """Address, commit and version of a template; the commit is None where it is not exactly what lies there."""
    built = template.parent / RELEASE
    if built.is_file():
        known = json.loads(built.read_text(encoding="utf-8"))
        version = known.get("version") or _version(template.parent / "pyproject.toml")
        return {"template": None, "commit": known["commit"], "version": version}
    top = _git(template, "rev-parse", "--show-toplevel")
    tracked = _git(template, "ls-files", "cookiecutter.json")
    clean = _git(template, "status", "--porcelain", "--ignore-submodules", "--", ".") == ""
    commit = _git(template, "rev-parse", "HEAD") if tracked and clean else None
    address = _git(template, "config", "remote.origin.url") if tracked else None
    return {
        "template": LOGIN.sub("", address) if address else top if tracked else None,
        "commit": commit or None,
        "version": _version(template.parent / "pyproject.toml"),
    }


def _write(file: Path, value: dict[str, Any], indent: int) -> None:
    file.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def _version(project: Path) -> str | None:
    found = re.search(r'^version = "([^"]+)"', project.read_text(encoding="utf-8"), re.M) if project.is_file() else None
    return found[1] if found else None


def _git(folder: Path, *arguments: str) -> str | None:
    """None where git cannot be run, or the folder is in no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
