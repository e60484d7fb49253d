"""Pin every workflow and action to one commit of this repository: `make pin COMMIT=<40 hex>`.

A workflow cannot name its own commit, so a release pins twice: the first commit lets the reusable workflows use the
current actions, the second lets generated projects call those workflows. Fails unless the commit has every pinned path.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = (".github", "actions", "template", "deploy")
OURS = "beampermit/beampermit"

TAG = "workflows-v{version}"
"""The tag of the commit that a release's pins name, which stands beside them."""
CONTAINER = "template/{{cookiecutter.project_slug}}/Containerfile"
IN_CONTAINER = re.compile(r"(?P<use>\.git)#(?P<commit>[0-9a-f]{40})")


def files(root: Path = ROOT) -> Iterator[Path]:
    """Every YAML file that may have a pin."""
    for place in PLACES:
        yield from sorted((root / place).rglob("*.yml"))


def pin_of(repository: str) -> re.Pattern[str]:
    """What a pin of that repository looks like."""
    return re.compile(
        rf"(?P<use>uses:\s*{re.escape(repository)}/(?P<path>(?:actions|\.github/workflows)/[^@\s]+))"
        r"@(?P<commit>[0-9a-f]{40}) # (?P<version>\S+)"
    )


def pins(root: Path = ROOT, repository: str = OURS) -> Iterator[tuple[Path, re.Match[str]]]:
    """Every pin, with its file."""
    for file in files(root):
        for match in pin_of(repository).finditer(file.read_text(encoding="utf-8")):
            yield file, match


def missing(commit: str, root: Path = ROOT, repository: str = OURS) -> list[str]:
    """Pinned paths that the commit does not have."""
    paths = sorted({match["path"] for _, match in pins(root, repository)})
    return [path for path in paths if _git(root, "cat-file", "-e", f"{commit}:{path}")]


def move(commit: str, version: str, root: Path = ROOT, repository: str = OURS) -> int:
    """Pin everything to `commit`; returns the number of pins."""
    for file in {file for file, _ in pins(root, repository)}:
        text = file.read_text(encoding="utf-8")
        file.write_text(pin_of(repository).sub(rf"\g<use>@{commit} # {version}", text), encoding="utf-8")
    container = root / CONTAINER
    container.write_text(
        IN_CONTAINER.sub(rf"\g<use>#{commit}", container.read_text(encoding="utf-8")), encoding="utf-8"
    )
    return sum(1 for _ in pins(root, repository))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commit", help="full commit, 40 hexadecimal digits")
    parser.add_argument("--version", default="main", help="the tag of that commit, for the comment next to the pin")
    options = parser.parse_args()
    if not re.fullmatch(r"[0-9a-f]{40}", options.commit):
        sys.exit(f"{options.commit!r} is not a full commit; git rev-parse HEAD prints one")
    if absent := missing(options.commit):
        sys.exit(f"{options.commit[:12]} does not have {', '.join(absent)}; pin a commit that has")
    sys.stdout.write(f"{move(options.commit, options.version)} pins set to {options.commit}\n")


def _git(root: Path, *arguments: str) -> int:
    return subprocess.run(["git", *arguments], cwd=root, check=False, capture_output=True).returncode


if __name__ == "__main__":
    main()
