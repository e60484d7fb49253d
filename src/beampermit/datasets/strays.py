"""Data and models in git that belong to DVC or the registry."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from beampermit.contract import FILE_NAME
from beampermit.errors import BadInput, counted
from beampermit.git import QUIET, Git, GitError
from beampermit.processes import for_tools
from beampermit.project import Project

HEAD = 512
"""First bytes of a file that `recognise` needs."""

SUFFIXES = {
    "Parquet": ".parquet",
    "Arrow": ".arrow .feather",
    "HDF5": ".h5 .hdf5 .hdf .nxs .keras",
    "NumPy": ".npy .npz",
    "pickle": ".pkl .pickle .joblib .dill .cloudpickle",
    "PyTorch": ".pt .pth .pt2 .ckpt",
    "safetensors": ".safetensors",
    "ONNX": ".onnx",
    "TensorFlow": ".tflite .pb .tfrecord",
    "GGUF": ".gguf",
    "SQLite": ".sqlite .sqlite3 .db",
    "MATLAB": ".mat",
    "ROOT": ".root",
    "SDDS": ".sdds",
    "archive": ".zip .tar .gz .tgz .bz2 .xz .zst .7z",
}
_BY_SUFFIX = {suffix: name for name, suffixes in SUFFIXES.items() for suffix in suffixes.split()}

_MAGIC: tuple[tuple[str, bytes], ...] = (
    ("Parquet", rb"PAR[1E]"),
    ("Arrow", rb"ARROW1|FEA1"),
    ("HDF5", rb"\x89HDF\r\n\x1a\n"),
    ("NumPy", rb"\x93NUMPY"),
    ("pickle", rb"\x80[\x02-\x05]"),
    ("ONNX", rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]"),
    ("TensorFlow", rb".{4}TFL3"),
    ("GGUF", rb"GGUF[\x01-\x10]\0\0\0"),
    ("SQLite", rb"SQLite format 3\0"),
    ("MATLAB", rb"MATLAB 5\.0 MAT-file"),
    ("ROOT", rb"root\0"),
    ("SDDS", rb"SDDS[1-5]\s"),
    ("archive", rb"\x1f\x8b|BZh[1-9]1AY&SY|\xfd7zXZ\0|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c|.{257}ustar"),
)
_BY_MAGIC = tuple((name, re.compile(pattern, re.DOTALL)) for name, pattern in _MAGIC)
_ZIP = b"PK\x03\x04"


NOT_TEXT = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
"""Control characters that no text has, in whatever encoding."""
MAY_BE_TEXT = ("pickle", "PyTorch")
"""Formats whose oldest protocol is text without first bytes of its own."""
STOP = b"."
"""What each pickle ends with; text may follow."""
SMALLEST = 2
"""Bytes of the smallest file of any of the formats, a pickle of None."""
HAS_A_HEADER = ("SQLite",)
"""Formats whose suffix other programs use too, and whose first bytes are always the same."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"


def recognise(path: str, head: bytes, size: int) -> str | None:
    """The data or model format of a file called `path` with the first bytes `head`; None if it is neither.

    A name alone does not make a text into data, nor a single byte, and `orbit.db` of EPICS or Berkeley is not SQLite.
    What Git LFS keeps is judged by the name, for its bytes are not everywhere.
    """
    named = by_suffix(path)
    if head.startswith(LFS_POINTER):
        return f"{named} in Git LFS" if named else None
    if found := by_magic(head, size):
        return found
    if size < SMALLEST or named in HAS_A_HEADER:
        return None
    ends = STOP in head or size > len(head)
    return named if (named in MAY_BE_TEXT and ends) or NOT_TEXT.search(head) else None


def is_lfs_pointer(file: Path) -> bool:
    """Whether Git LFS has put its pointer where a file should be."""
    return file.is_file() and _file_head(file).startswith(LFS_POINTER)


def by_suffix(path: str) -> str | None:
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.casefold())


def by_magic(head: bytes, size: int) -> str | None:
    """The format by a file's first bytes, whatever its name is."""
    if head.startswith(_ZIP):
        return "PyTorch" if b"data.pkl" in head else "archive"
    length = int.from_bytes(head[:8], "little")
    if len(head) > 8 and head[8:9] == b"{" and 2 <= length <= size - 8:
        return "safetensors"
    return next((name for name, pattern in _BY_MAGIC if pattern.match(head)), None)


LARGEST = 2 * 2**20
LOCKS = {"uv.lock", "conda-lock.yml", "pixi.lock", "poetry.lock"}
"""Generated text files that may exceed `LARGEST`."""


@dataclass(frozen=True)
class Stray:
    """A tracked file that should not be in git, and its format and size."""

    path: str
    what: str


def tracked_strays(git: Git) -> Iterator[Stray]:
    """Tracked files that are data or models by their first bytes or name, or too large."""
    tracked = git.tracked()
    pointers = _in_lfs(git, tracked)
    blobs = _named_blobs(git, ()) if pointers else {}
    yield from _of_blobs(git, {path: blob for path, blob in blobs.items() if path in pointers})
    for path in tracked:
        if path not in pointers and (what := _describe_tracked(git.root / path, path)):
            yield Stray(path, what)


def _in_lfs(git: Git, paths: Iterable[str]) -> set[str]:
    """Those of `paths` that Git LFS handles: git holds a pointer, and the work tree that or the bytes."""
    if not (listed := "\0".join(paths)):
        return set()
    fields = git("check-attr", "--stdin", "-z", "filter", stdin=f"{listed}\0").split("\0")
    return {path for path, value in zip(fields[::3], fields[2::3], strict=False) if value == "lfs"}


def _of_blobs(git: Git, blobs: Mapping[str, str]) -> Iterator[Stray]:
    """What git holds, whatever lies in the work tree."""
    sizes = _blob_sizes(git, blobs.values()) if blobs else {}
    for path, blob in blobs.items():
        if what := describe_stray(path, _blob_head(git, blob), sizes[blob]):
            yield Stray(path, what)


def _describe_tracked(file: Path, path: str) -> str | None:
    try:
        status = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    with file.open("rb") as stream:
        return describe_stray(path, stream.read(HEAD), status.st_size)


def describe_stray(path: str, head: bytes, size: int) -> str | None:
    """Format and size of a file that does not belong in git; None if it may stay."""
    if name := recognise(path, head, size):
        return f"{name}, {_size(size)}"
    if size > LARGEST and PurePosixPath(path).name not in LOCKS:
        return f"{_size(size)}; the limit is {_size(LARGEST)}"
    return None


def _size(count: int) -> str:
    if count < 1024:
        return counted(count, "byte")
    return f"{count / 1024:.0f} KiB" if count < 2**20 else f"{count / 2**20:.1f} MiB"


def kept_in_git(project: Project) -> frozenset[str]:
    """Paths in the repository that the work tree's contract lets git hold; none where no contract can be read."""
    try:
        paths = project.contract.dataset.in_git if project.has_contract else None
    except BadInput:
        return frozenset()
    return frozenset(f"{project.git.prefix}{path}" for path in paths or ())


def by_project(around: Project, paths: Iterable[str]) -> list[tuple[Project, list[str]]]:
    """These paths in the repository by the project of the contract nearest above each; without one, `around`."""
    top = around.git.top.root
    owned = dict[Path, list[str]]()
    for path in paths:
        folders = [top / folder for folder in PurePosixPath(path).parents]
        root = next((folder for folder in folders if (folder / FILE_NAME).is_file()), around.root)
        owned.setdefault(root, []).append(path)
    return [(around if root == around.root else Project(root), ones) for root, ones in owned.items()]


LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}


def staged_strays(git: Git, names: Sequence[str] = ()) -> Iterator[Stray]:
    """Strays among the files that the next commit adds or changes, or among `names`.

    The bytes that git would commit are checked, even if the work tree has other ones.
    """
    blobs = _named_blobs(git, names) if names else _staged_blobs(git)
    if not blobs:
        return
    sizes = _blob_sizes(git, blobs.values())
    modified = {*_split_nul(git("diff-files", "--name-only", "-z")), *_in_lfs(git, blobs)}
    for path, blob in blobs.items():
        head = _blob_head(git, blob) if path in modified else _file_head(git.root / path)
        if what := describe_stray(path, head, sizes[blob]):
            yield Stray(path, what)


def staged_notebooks(git: Git, names: Sequence[str] = ()) -> list[str]:
    """Notebooks among the files that the next commit adds or changes, or among `names`."""
    blobs = _named_blobs(git, names) if names else _staged_blobs(git)
    return [path for path in blobs if path.lower().endswith(".ipynb")]


def _staged_blobs(git: Git) -> dict[str, str]:
    """Path -> blob of the regular files that differ from the last commit."""
    fields = _split_nul(git("diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--diff-filter=d"))
    entries = zip((field.split() for field in fields[::2]), fields[1::2], strict=True)
    return {path: blob for (_, mode, _, blob, _), path in entries if mode.startswith("100")}


def _named_blobs(git: Git, names: Sequence[str]) -> dict[str, str]:
    """Path -> blob of the regular files of `names`, of all where none is named."""
    try:
        listed = git("ls-files", "--stage", "-z", "--", *names, env=LITERAL)
    except GitError as error:
        raise BadInput(error.message, hint="name files of this repository, or none to check all staged files") from None
    entries = [line.split("\t", 1) for line in _split_nul(listed)]
    return {path: about.split()[1] for about, path in entries if about.startswith("100")}


def _blob_sizes(git: Git, blobs: Iterable[str]) -> dict[str, int]:
    lines = git("cat-file", "--batch-check", stdin="".join(f"{blob}\n" for blob in blobs)).splitlines()
    return {blob: int(size) for blob, _, size in map(str.split, lines)}


def _file_head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(HEAD)


def _blob_head(git: Git, blob: str) -> bytes:
    """The first bytes of a blob. Git stops when the pipe closes, so a large blob is not read whole."""
    command = ("git", "cat-file", "blob", blob)
    env = {**for_tools(), **QUIET}
    with subprocess.Popen(command, cwd=git.root, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        return child.stdout.read(HEAD) if child.stdout else b""


def _split_nul(text: str) -> list[str]:
    return [part for part in text.split("\0") if part]
