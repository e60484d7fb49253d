"""The formats that files of a saved model may have, by suffix and by content.

Most malicious pickles pass a scanner, so nothing here looks for malicious content: a file is of a format that runs no
code when it is read, or it is refused.
"""

from __future__ import annotations

import ast
import pickletools
import tokenize
import warnings
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import parse_json, parse_toml, parse_yaml

LARGEST_TEXT = 64 * 2**20
LARGEST_YAML = 2**20
MAGIC = {
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "an ELF program or library",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x93NUMPY": "a numpy array, which may hold a pickle",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
    b"PAR1": "a Parquet table",
    b"SQLite format 3\0": "an SQLite database",
    b"MZ": "a Windows program or library",
}


def find_problem(path: Path) -> str:
    """Why a file may not be part of a saved model, to follow its name; empty when it may."""
    if path.is_symlink() or not path.is_file():
        return "is a link or a device, not a regular file"
    read = NAMES.get(path.name) or SUFFIXES.get(path.suffix)
    if read is None:
        kind = identify(path) or "of an unknown format"
        return f"is {kind}; only {', '.join(SUFFIXES)} are allowed"
    problem = read(path)
    if not problem:
        return ""
    kind = identify(path)
    return f"is really {kind}" if kind else f"is not a valid {path.suffix or path.name} file: {problem}"


def identify(path: Path) -> str:
    """The format of a file by its magic bytes, if it is one that is not allowed; empty where they do not tell."""
    with path.open("rb") as stream:
        head = stream.read(2**16)
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return f"a pickle of protocol {head[1]}"
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    return "a pickle of protocol 0 or 1" if _is_old_pickle(head) else ""


def _archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "a broken zip archive"
    pickled = next((name for name in names if name.endswith((".pkl", ".pickle"))), None)
    return f"a zip archive with a pickle in it ({pickled}), as torch saves" if pickled else "a zip archive"


def _is_old_pickle(head: bytes) -> bool:
    try:
        return any(operation.name == "STOP" for operation, _, _ in pickletools.genops(BytesIO(head)))
    except Exception:  # pickletools raises anything
        return False


def _safetensors(path: Path) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            return "" if list(tensors.keys()) else "it contains no tensor"
    except (SafetensorError, OSError, ValueError) as error:
        return str(error).splitlines()[0]


def _json(path: Path) -> str:
    if path.stat().st_size > LARGEST_TEXT:
        return f"larger than {LARGEST_TEXT} bytes"
    return _parse_error(parse_json, path.read_bytes(), path.name)


def _yaml(path: Path) -> str:
    text, problem = _decode(path, LARGEST_YAML)
    return problem or _parse_error(parse_yaml, text, path.name).removeprefix("not YAML: ")


def _python(path: Path) -> str:
    text, problem = _decode(path)
    if problem:
        return problem
    try:
        # A declared encoding such as utf-7 would let Python read other code than a reviewer sees.
        encoding, _ = tokenize.detect_encoding(BytesIO(text.encode()).readline)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return str(error).splitlines()[0]
    return "" if encoding in ("utf-8", "utf-8-sig") else f"it declares the encoding {encoding}"


def _toml(path: Path) -> str:
    text, problem = _decode(path)
    return problem or _parse_error(parse_toml, text, path.name)


def _text(path: Path) -> str:
    return _decode(path)[1]


def _parse_error(parse: Callable[[Any, str], object], content: str | bytes, name: str) -> str:
    try:
        parse(content, name)
    except BadInput as error:
        return error.message
    return ""


def _decode(path: Path, largest: int = LARGEST_TEXT) -> tuple[str, str]:
    """The text of a file, or why it is not text."""
    if path.stat().st_size > largest:
        return "", f"larger than {largest} bytes"
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        return "", f"not UTF-8 at byte {error.start}"
    control = next((character for character in text if character < " " and character not in "\t\r\n\f"), None)
    return (text, "") if control is None else ("", f"it contains the control character {ord(control):#04x}")


def _onnx(path: Path) -> str:
    """The outermost fields of the protobuf message must be those of an ONNX model with a graph."""
    with path.open("rb") as stream:
        content = stream.read()
    seen: set[int] = set()
    position = 0
    try:
        while position < len(content):
            tag, position = _varint(content, position)
            field, wire = tag >> 3, tag & 7
            if MODEL_FIELDS.get(field) != wire:
                return f"protobuf field {field} is not a field of ONNX models"
            length, position = _varint(content, position)
            position += length if wire == 2 else 0
            seen.add(field)
    except (IndexError, ValueError):
        return "a broken protobuf message"
    if position != len(content):
        return "it ends in the middle of a field"
    return "" if {IR_VERSION, GRAPH} <= seen else "it contains no graph"


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise ValueError


IR_VERSION, GRAPH = 1, 7
MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2}
"""Fields of ModelProto and their wire types (0 a number, 2 bytes), from onnx.proto."""
SUFFIXES: dict[str, Callable[[Path], str]] = {
    ".safetensors": _safetensors,
    ".onnx": _onnx,
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".py": _python,
}
NAMES: dict[str, Callable[[Path], str]] = {
    "MLmodel": _yaml,
    "requirements.txt": _text,
    "constraints.txt": _text,
    "pyproject.toml": _toml,
    "uv.lock": _toml,
    "py.typed": _text,
}
"""Files that MLflow writes, with uv too, and the marker of a typed package."""
