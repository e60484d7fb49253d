"""Which packages of a laboratory judge: pinned by hash in a file of the protected branch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from pydantic import ValidationError

from beampermit.digest import digest_bytes
from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.reading import first_fault
from beampermit.verdicts.packages import InterlockPackage

FILE = ".github/interlocks.lock"
"""At the top of the repository: requirements with hashes, as `uv pip compile --generate-hashes` writes them."""
LARGEST = 2**20
OPTION = re.compile(r"(--index-url|--extra-index-url|--find-links)[ =]\S+$")
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;@]+)((?:\s+--hash=\S+)*)$")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
BOM = "\ufeff"
"""At the beginning of what some editors of Windows write."""
MADE_BY = f"uv pip compile --no-deps --generate-hashes interlocks.in -o {FILE}"
HASHED_BY = f"lock it with `{MADE_BY}`, or for a wheel in a folder write what `pip hash FILE.whl` prints"


@dataclass(frozen=True)
class OwnLock:
    text: str
    packages: tuple[InterlockPackage, ...]

    @property
    def digest(self) -> str:
        """64 hexadecimal digits."""
        return digest_bytes(self.text.encode()).removeprefix("sha256:")


def lock_of(project: Project) -> OwnLock | None:
    """The lock that judges: that of the base branch, and on it the work tree's. Raises `BadInput`.

    None where it names no package.
    """
    base = project.base
    text = _of_base(project, base) if base else text_here(project)
    return parse_lock(text, f"{base[:12]}:{FILE}" if base else FILE) if text else None


def _of_base(project: Project, base: str) -> str | None:
    text = project.git.top.read(base, FILE)
    return text and text.removeprefix(BOM)


def text_here(project: Project) -> str | None:
    """What the work tree has. Raises `BadInput` for a link: what it leads to is not a file of the repository."""
    file = project.git.top.root / FILE
    if link := next((path for path in (file, file.parent) if path.is_symlink()), None):
        raise BadInput("it is a symbolic link, and the lock is a file", file=link.relative_to(project.git.top.root))
    return file.read_text(encoding="utf-8", errors="replace").removeprefix(BOM) if file.is_file() else None


def parse_lock(text: str, name: str) -> OwnLock | None:
    """`name` is the file that errors name. Raises `BadInput` with the line."""
    if len(text) > LARGEST:
        raise BadInput(f"larger than the {LARGEST} bytes allowed", file=name)
    packages: dict[str, InterlockPackage] = {}
    for number, line in _lines(text):
        if OPTION.match(line):
            continue
        package = _package(line, name, number)
        if package.name in packages:
            raise BadInput(f"{package.name} stands here twice", file=name, line=number)
        packages[package.name] = package
    return OwnLock(text, tuple(packages.values())) if packages else None


def _package(line: str, name: str, number: int) -> InterlockPackage:
    found = REQUIREMENT.match(line)
    if found is None:
        what = f"{line[:60]!r} is neither `name==version` with hashes nor the address of an index"
        raise BadInput(what, file=name, line=number, hint=MADE_BY)
    words = found[3].split()
    if not words:
        why = f"{found[1]}=={found[2]} has no --hash=sha256:...; uv writes one only where an index over HTTP(S) says it"
        raise BadInput(why, file=name, line=number, hint=HASHED_BY)
    hashes = [HASH.fullmatch(word) for word in words]
    if not all(hashes):
        why = "has a hash that is not sha256 and 64 hexadecimal digits"
        raise BadInput(f"{found[1]}=={found[2]} {why}", file=name, line=number, hint=MADE_BY)
    digests = tuple(f"sha256:{one[1]}" for one in hashes if one)
    try:
        return InterlockPackage(name=canonicalize_name(found[1]), version=found[2], hashes=digests)
    except ValidationError as error:
        raise BadInput(f"{found[1]}=={found[2]}: {first_fault(error)}", file=name, line=number) from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """What is neither blank nor a comment, with the number of its first line; a `\\` at the end continues a line."""
    held, first = "", 0
    for number, line in enumerate((*text.splitlines(), ""), 1):
        part = re.sub(r"(^|\s)#.*", "", line).strip()
        first = first if held else number
        held = f"{held} {part.removesuffix(chr(92))}".strip()
        if part.endswith("\\"):
            continue
        if held:
            yield first, held
        held = ""
