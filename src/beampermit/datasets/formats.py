"""Files that belong to DVC or a registry, not to git: known by their name or by their first bytes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

HEAD = 512
"""How many first bytes `recognise` wants to see."""

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


def recognise(path: str, head: bytes, size: int) -> str | None:
    """The format of data or a model that a file called `path`, with these first bytes and `size`, has; or None."""
    return by_magic(head, size) or by_suffix(path)


def by_suffix(path: str) -> str | None:
    """The format that a file's name claims."""
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.casefold())


def by_magic(head: bytes, size: int) -> str | None:
    """The format that a file's first bytes show, whatever its name is."""
    if head.startswith(_ZIP):
        return "PyTorch" if b"data.pkl" in head else "archive"
    length = int.from_bytes(head[:8], "little")
    if len(head) > 8 and head[8:9] == b"{" and 2 <= length <= size - 8:
        return "safetensors"
    return next((name for name, pattern in _BY_MAGIC if pattern.match(head)), None)
