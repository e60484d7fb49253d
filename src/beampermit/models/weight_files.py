"""Files of weights by their content: whether one is sound, and its numbers as tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.errors import BadInput
from beampermit.models import arrays, onnx
from beampermit.models.onnx import Raw
from beampermit.models.ubjson import DEEPEST, parse_ubjson
from beampermit.reading import decode, parse_json

if TYPE_CHECKING:
    import numpy as np

LARGEST_TEXT = 64 * 2**20
LARGEST_TREES = 2**30
"""Bytes of a UBJSON file, or of a text of LightGBM."""
TEXT = "text"
"""The type of what is not a number: what a model is made of, besides its numbers."""
TREES = re.compile(r"learner\.gradient_booster\.(gbtree\.)?model\.")


@dataclass(frozen=True)
class Format:
    """A format that holds no code. `begins` looks at the first bytes; `check` and `read` raise `BadInput`."""

    name: str
    begins: Callable[[bytes], bool]
    check: Callable[[Path], object]
    read: Callable[[Path], dict[str, Raw]]


def weights_format(path: Path) -> Format | None:
    """The format of a file of weights, by its content; None for any other file, and for a broken one."""
    with path.open("rb") as stream:
        head = stream.read(64)
    for format in FORMATS:
        if format.begins(head):
            try:
                format.check(path)
            except BadInput:
                continue
            return format
    return None


def read_weights(path: Path) -> dict[str, Raw] | None:
    """Tensor -> shape, type and bytes, of a file of any of the formats; None for any other file."""
    format = weights_format(path)
    return format and format.read(path)


def find_weights(folder: Path) -> list[Path]:
    """The files below a folder that hold weights, with those in which an ONNX file has its tensors."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    found = [path for path in files if path.suffix != ".py" and weights_format(path)]
    return sorted({*found, *(beside for path in found for beside in external_files(path))})


def external_files(path: Path) -> list[Path]:
    """The files in which an ONNX model has tensors; none for another format. Raises `BadInput`."""
    with path.open("rb") as stream:
        if not _begins_onnx(stream.read(64)):
            return []
    return [onnx.external_file(path, location) for location in {entry[1] for entry in onnx.read_onnx(path).external}]


def _read_safetensors(path: Path) -> dict[str, Raw]:
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"not a safetensors file: {str(error).splitlines()[0]}", file=path) from None
    return {
        name: (tuple(tensor["shape"]), SAFETENSORS.get(tensor["dtype"]) or tensor["dtype"], bytes(tensor["data"]))
        for name, tensor in tensors
    }


def check_safetensors(path: Path) -> None:
    """Raises `BadInput` where the header is not that of tensors inside the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            if not list(tensors.keys()):
                raise BadInput("it contains no tensor", file=path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(str(error).splitlines()[0], file=path) from None


def check_onnx(path: Path) -> None:
    """Raises `BadInput` for a broken model, one that calls code from elsewhere, or has data outside its folder."""
    read = onnx.read_onnx(path)
    if read.foreign:
        raise BadInput(f"it calls the operator {read.foreign}, which is code outside of the model", file=path)
    sizes: dict[str, int] = {}
    for name, location, offset, length, _ in read.external:
        size = onnx.external_file(path, location).stat().st_size
        end = size if length is None else offset + length
        if offset > size or end > size:
            raise BadInput(f"tensor {name[:80]} lies beyond the end of {location[:80]}", file=path)
        sizes[location] = max(end, sizes.get(location, 0))
    for location, end in sizes.items():
        if onnx.external_file(path, location).stat().st_size != end:
            raise BadInput(f"{location[:80]} has bytes after the last tensor", file=path)


def _read_onnx(path: Path) -> dict[str, Raw]:
    read = onnx.read_onnx(path)
    return {
        **read.tensors, **onnx.read_external(path, read), "operators and attributes": _raw(read.structure)
    }  # fmt: skip


def _check_ubj(path: Path) -> Any:
    if path.stat().st_size > LARGEST_TREES:
        raise BadInput(f"larger than {LARGEST_TREES} bytes", file=path)
    return _xgboost(parse_ubjson(path.read_bytes(), path), path)


def _check_json(path: Path) -> Any:
    if path.stat().st_size > LARGEST_TEXT:
        raise BadInput(f"larger than {LARGEST_TEXT} bytes", file=path)
    return _xgboost(parse_json(path.read_bytes(), path), path)


def _xgboost(content: Any, path: Path) -> Any:
    learner = content.get("learner") if isinstance(content, dict) else None
    if not isinstance(learner, dict) or "gradient_booster" not in learner:
        raise BadInput("it is not a model of XGBoost", file=path)
    return content


def _leaves(content: Any) -> dict[str, Raw]:
    """Lists of numbers as tensors, by path; everything else as one text."""
    tensors: dict[str, Raw] = {}
    rest: list[str] = []
    for name, value in _walk(content, "", 0):
        values = _numbers(value)
        if values is None:
            rest.append(f"{name} {value!r}")
        else:
            tensors[TREES.sub("", name)] = _raw(values)
    return {**tensors, "settings": _raw("\n".join(rest))}


def _walk(node: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > DEEPEST:
        raise BadInput(f"nested more than {DEEPEST} deep")
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from _walk(value, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(node, list) and node and not all(isinstance(value, int | float) for value in node):
        for number, value in enumerate(node):
            yield from _walk(value, f"{path}.{number}", depth + 1)
    else:
        yield path, node


def _numbers(value: Any) -> np.ndarray | None:
    import numpy as np

    if isinstance(value, np.ndarray):
        return value.astype(value.dtype.newbyteorder("<"))
    return np.array(value, float) if isinstance(value, list) and value else None


def _read_ubj(path: Path) -> dict[str, Raw]:
    return _leaves(_check_ubj(path))


def _read_json(path: Path) -> dict[str, Raw]:
    return _leaves(_check_json(path))


def _read_npy(path: Path) -> dict[str, Raw]:
    return {path.name: _raw(arrays.read_npy(path))}


def _read_npz(path: Path) -> dict[str, Raw]:
    return {name: _raw(values) for name, values in arrays.read_npz(path).items()}


LIGHTGBM = re.compile(rb"tree\r?\nversion=v\d")
BLANK = re.compile(r"\n\s*\n")


def _read_lightgbm(path: Path) -> dict[str, Raw]:
    """Numbers of each tree, and what stands above them; importances and parameters of the training do not predict."""
    import numpy as np

    if path.stat().st_size > LARGEST_TREES:
        raise BadInput(f"larger than {LARGEST_TREES} bytes", file=path)
    text = decode(path.read_bytes(), path)
    if control := next((character for character in text if character < " " and character not in "\t\n"), None):
        raise BadInput(f"it contains the control character {ord(control):#04x}", file=path)
    head, end, _ = text.partition("\nend of trees\n")
    if not end or "\nTree=0\n" not in head:
        raise BadInput("no tree of LightGBM, or no end of them", file=path)
    header, *trees = BLANK.split(head)
    tensors: dict[str, Raw] = {}
    rest = [header]
    for tree in trees:
        name, _, lines = tree.strip().partition("\n")
        for line in lines.splitlines():
            key, _, values = line.partition("=")
            try:
                tensors[f"{name} {key}"] = _raw(np.array(values.split(), float))
            except ValueError:
                rest.append(f"{name} {line}")
    return {**tensors, "settings": _raw("\n".join(rest))}


def _raw(value: np.ndarray | str) -> Raw:
    if isinstance(value, str):
        return (), TEXT, value.encode(errors="surrogateescape")
    return value.shape, value.dtype.str, value.tobytes()


def _begins_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**27


def _begins_onnx(head: bytes) -> bool:
    return head[:1] == bytes([onnx.IR_VERSION << 3]) and len(head) > 2


SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|u1",
}  # fmt: skip
FORMATS = (
    Format("safetensors", _begins_safetensors, check_safetensors, _read_safetensors),
    Format("ONNX", _begins_onnx, check_onnx, _read_onnx),
    Format("XGBoost JSON", lambda head: head.lstrip()[:1] == b"{", _check_json, _read_json),
    Format("XGBoost UBJ", lambda head: head[:1] == b"{", _check_ubj, _read_ubj),
    Format("LightGBM", lambda head: bool(LIGHTGBM.match(head)), _read_lightgbm, _read_lightgbm),
    Format("npy", lambda head: head.startswith(arrays.NPY), arrays.check_npy, _read_npy),
    Format("npz", lambda head: head.startswith(arrays.ZIP), arrays.check_npz, _read_npz),
)
"""By content alone: what a file is called decides nothing."""
