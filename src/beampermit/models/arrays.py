"""numpy's files, `.npy` and `.npz`, without objects: what they declare must be their size before anything is read."""

from __future__ import annotations

import math
import tokenize
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from beampermit.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

NPY, ZIP = b"\x93NUMPY", b"PK\x03\x04"
LARGEST = 4 * 2**30
"""Bytes of all arrays of one file, unpacked."""
MOST_ARRAYS = 10_000


def check_npy(path: Path) -> None:
    """Raises `BadInput` for objects, which are pickles, and where the size of the file is not the declared one."""
    with path.open("rb") as stream:
        _header(stream, path.stat().st_size, path)


def check_npz(path: Path) -> None:
    """The same for each array of an archive, which nothing else may be in. Nothing is unpacked but headers."""
    with _archive(path) as archive:
        for entry in _entries(archive, path):
            with archive.open(entry) as stream:
                _header(stream, entry.file_size, path, entry.filename)


def read_npy(path: Path) -> np.ndarray:
    """Raises as `check_npy`."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        return _read(stream, size, path)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Name -> array. Raises as `check_npz`."""
    arrays: dict[str, np.ndarray] = {}
    with _archive(path) as archive:
        for entry in _entries(archive, path):
            with archive.open(entry) as stream:
                arrays[entry.filename.removesuffix(".npy")] = _read(stream, entry.file_size, path, entry.filename)
    return arrays


def _read(stream: IO[bytes], size: int, path: Path, name: str = "") -> np.ndarray:
    import numpy as np

    shape, fortran, kind = _header(stream, size, path, name)
    values = np.frombuffer(stream.read(), kind)
    if values.size != math.prod(shape):
        raise BadInput(f"{name or 'the array'} has {values.size} values, {math.prod(shape)} are declared", file=path)
    return values.reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes], size: int, path: Path, name: str = "") -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type; the stream is then at the first value."""
    import numpy as np

    what = name or "the array"
    try:
        version = np.lib.format.read_magic(stream)  # pyright: ignore[reportArgumentType]
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, kind = read(stream)  # pyright: ignore[reportArgumentType]
    except KeyError:
        raise BadInput(f"{what} is of a version of the format that is not read here", file=path) from None
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError, EOFError) as error:
        raise BadInput(f"{what} has a broken header: {str(error).splitlines()[0][:80]}", file=path) from None
    if kind.hasobject:
        raise BadInput(f"{what} holds Python objects, which are pickles; save numbers", file=path)
    if any(length < 0 for length in shape) or kind.itemsize == 0:
        raise BadInput(f"{what} declares the shape {shape} of {kind}", file=path)
    declared, there = math.prod(shape) * kind.itemsize, size - stream.tell()
    if declared != there:
        raise BadInput(f"{what} declares {declared} bytes, {there} are there", file=path)
    return shape, fortran, kind


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, RuntimeError, EOFError) as error:
        raise BadInput(f"a broken zip archive: {str(error)[:80]}", file=path) from None
    except Exception as error:  # what an unpacker raises is its own
        if type(error).__module__ not in ("zlib", "lzma"):
            raise
        raise BadInput(f"a broken zip archive: {str(error)[:80]}", file=path) from None


def _entries(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if other := next((entry.filename for entry in entries if not entry.filename.endswith(".npy")), None):
        raise BadInput(f"{other[:80]} in it is not an array", file=path)
    if len({entry.filename for entry in entries}) != len(entries) or not entries:
        raise BadInput("it has an array twice" if entries else "it has no array", file=path)
    if len(entries) > MOST_ARRAYS or sum(entry.file_size for entry in entries) > LARGEST:
        raise BadInput(f"more than {MOST_ARRAYS} arrays or {LARGEST} bytes", file=path)
    return entries
