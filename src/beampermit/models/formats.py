"""The formats that files of a saved model may have, by content; a name that promises one must keep it.

Most malicious pickles pass a scanner, so nothing here looks for malicious content: a file is of a format that runs no
code when it is read, or it is refused.
"""

from __future__ import annotations

import ast
import pickletools
import tokenize
import warnings
import zipfile
from collections.abc import Callable, Collection
from io import BytesIO
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.models.arrays import NPY, check_npy, check_npz
from beampermit.models.weight_files import FORMATS, LARGEST_TEXT, external_files, weights_format
from beampermit.reading import parse_json, parse_toml, parse_yaml

LARGEST_YAML = 2**20
MAGIC = {
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "an ELF program or library",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
    b"PAR1": "a Parquet table",
    b"SQLite format 3\0": "an SQLite database",
    b"MZ": "a Windows program or library",
}
UNKNOWN = "is of an unknown format"


def find_problems(paths: Collection[Path]) -> dict[Path, str]:
    """Why files may not be part of a saved model, each reason to follow the file's name; empty where all may.

    A file in which an ONNX model has its tensors is of no format of its own: the model says what is in it.
    """
    problems = {path: problem for path in paths if (problem := _find_problem(path))}
    unknown = {path for path, problem in problems.items() if problem.startswith(UNKNOWN)}
    if unknown:
        models = (path for path in paths if path not in problems and path.suffix not in (".py", ".json"))
        unknown &= {file for path in models for file in external_files(path)}
    return {path: problem for path, problem in problems.items() if path not in unknown}


def _find_problem(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return "is a link or a device, not a regular file"
    read = NAMES.get(path.name) or SUFFIXES.get(path.suffix)
    if read is None:
        if weights_format(path):
            return ""
        kind = identify(path)
        return f"{f'is {kind}' if kind else UNKNOWN}; {ALLOWED}"
    problem = read(path)
    if not problem:
        return ""
    kind = identify(path)
    return f"is really {kind}" if kind else f"is not a valid {path.suffix or path.name} file: {problem}"


def identify(path: Path) -> str:
    """The format of a file by its content, if it is not the one that its name says; empty where it does not tell."""
    with path.open("rb") as stream:
        head = stream.read(2**16)
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return f"a pickle of protocol {head[1]}"
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.startswith(NPY):
        return _numpy(path, ".npy", check_npy)
    if _is_old_pickle(head):
        return "a pickle of protocol 0 or 1"
    weights = weights_format(path)
    return f"{weights.name}, so give it another name" if weights and path.suffix in SUFFIXES else ""


def _numpy(path: Path, suffix: str, check: Callable[[Path], None]) -> str:
    kind = "a numpy array" if suffix == ".npy" else "numpy arrays"
    try:
        check(path)
    except BadInput as error:
        return f"{kind}, and {error.message}"
    return f"{kind}, so name it {suffix}"


def _archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "a broken zip archive"
    if names and all(name.endswith(".npy") for name in names):
        return _numpy(path, ".npz", check_npz)
    pickled = next((name for name in names if name.endswith((".pkl", ".pickle"))), None)
    return f"a zip archive with a pickle in it ({pickled}), as torch saves" if pickled else "a zip archive"


def _is_old_pickle(head: bytes) -> bool:
    try:
        return any(operation.name == "STOP" for operation, _, _ in pickletools.genops(BytesIO(head)))
    except Exception:  # pickletools raises anything
        return False


def _weights(name: str) -> Callable[[Path], str]:
    """Looks whether a file is of a format of weights, and sound."""
    (format,) = (format for format in FORMATS if format.name == name)

    def check(path: Path) -> str:
        try:
            format.check(path)
        except BadInput as error:
            return error.message
        return ""

    return check


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


SUFFIXES: dict[str, Callable[[Path], str]] = {
    ".safetensors": _weights("safetensors"),
    ".onnx": _weights("ONNX"),
    ".ubj": _weights("XGBoost UBJ"),
    ".npy": _weights("npy"),
    ".npz": _weights("npz"),
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".py": _python,
}
"""What a file of this name must be. Any other name is as good as what is in the file."""
NAMES: dict[str, Callable[[Path], str]] = {
    "MLmodel": _yaml,
    "requirements.txt": _text,
    "constraints.txt": _text,
    "pyproject.toml": _toml,
    "uv.lock": _toml,
    "py.typed": _text,
}
"""Files that MLflow writes, with uv too, and the marker of a typed package."""
ALLOWED = (
    "allowed are safetensors, ONNX, XGBoost JSON and UBJ, LightGBM text, numpy without objects, JSON, YAML, Python"
)
