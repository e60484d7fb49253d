"""ONNX files, read as the protobuf messages that they are: no framework, and nothing larger than the file is made.

A general protobuf library makes forty bytes of each empty message of two; here a field costs nothing but time, and
their number is limited.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from beampermit.errors import BadInput

LARGEST = 2**31
"""Bytes of a protobuf message; larger weights are external data."""
MOST_FIELDS = 20_000_000
DEEPEST = 32
"""Graphs in attributes of nodes of graphs."""
NUMBER, EIGHT, BYTES, FOUR = 0, 1, 2, 5
"""Wire types."""
MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Fields of ModelProto and their wire types, from onnx.proto: others show that a file is none."""
IR_VERSION, GRAPH, TRAINING, FUNCTIONS = 1, 7, 20, 25
TYPES = {
    1: "<f4", 2: "|u1", 3: "|i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "|u1", 10: "<f2", 11: "<f8", 12: "<u4",
    13: "<u8", 16: "BF16",
}  # fmt: skip
"""`data_type` of a tensor -> its type, as in numpy."""
DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft"}
"""Operators that ONNX Runtime has itself. Any other domain needs a library that somebody loads."""
RUNS_CODE = {"PythonOp", "PythonOpGrad", "ATen", "ATenGrad", "TritonOp", "EPContext", "Snpe"}
"""Operators of ONNX Runtime that call Python, kernels made at run time, or a program compiled elsewhere."""

Value = int | memoryview
Raw = tuple[tuple[int, ...], str, bytes]
"""Shape, type and bytes of a tensor."""


@dataclass
class Model:
    """What a model holds: its tensors, the numbers of its nodes, and everything else as one digest."""

    tensors: dict[str, Raw] = field(default_factory=dict)
    external: list[tuple[str, str, int, int | None, Raw]] = field(default_factory=list)
    """Tensor, the file that holds its bytes, beside the model, offset, length, and shape and type."""
    operators: set[tuple[str, str]] = field(default_factory=set)
    """Domain and name of each operator that a node calls."""
    functions: set[tuple[str, str]] = field(default_factory=set)
    """The same of the functions that the model defines itself."""
    structure: str = ""

    @property
    def foreign(self) -> str:
        """An operator that is neither ONNX Runtime's nor the model's own, or that runs code; empty without."""
        for domain, name in sorted(self.operators - self.functions):
            if domain not in DOMAINS or name in RUNS_CODE:
                return f"{domain}.{name}" if domain else name
        return ""


def read_onnx(path: Path) -> Model:
    """Read a model, its external data apart. Raises `BadInput` for what is none, is broken, or is too large."""
    if path.stat().st_size > LARGEST:
        raise BadInput(f"larger than {LARGEST} bytes, the largest protobuf message", file=path)
    walk = _Walk()
    try:
        walk.model(memoryview(path.read_bytes()))
    except _Broken as error:
        raise BadInput(str(error), file=path) from None
    walk.read.structure = walk.digest.hexdigest()
    return walk.read


def read_external(path: Path, read: Model) -> dict[str, Raw]:
    """The tensors whose bytes lie beside the model. Raises `BadInput` where they are not in a file of its folder."""
    tensors: dict[str, Raw] = {}
    for name, location, offset, length, (shape, kind, _) in read.external:
        file = external_file(path, location)
        with file.open("rb") as stream:
            stream.seek(offset)
            content = stream.read(length) if length is not None else stream.read()
        if length is not None and len(content) != length:
            raise BadInput(f"tensor {name} has {length} bytes in {location}, which ends before", file=path)
        tensors[name] = (shape, kind, content)
    return tensors


def external_file(path: Path, location: str) -> Path:
    """The file with the bytes of tensors. Raises `BadInput` for a place outside the model's folder, a link, or none."""
    place = PurePosixPath(location)
    if place.is_absolute() or ".." in place.parts or "\\" in location or "\0" in location or not place.parts:
        raise BadInput(f"it has external data outside its folder: {location[:80]!r}", file=path)
    file = path.parent / place
    inside = file.resolve() == path.parent.resolve() / place
    if not inside or not file.is_file():
        raise BadInput(f"it has external data in {location[:80]!r}, which is not a file beside it", file=path)
    return file


class _Broken(Exception):
    """What is wrong with the message."""


class _Walk:
    """One pass over a message; what does not change a prediction, such as texts and metadata, is left out."""

    def __init__(self) -> None:
        self.read, self.digest, self.left = Model(), hashlib.sha256(), MOST_FIELDS
        self.names: set[str] = set()

    def model(self, content: memoryview) -> None:
        seen: set[int] = set()
        for number, wire, value in self.fields(content):
            if MODEL_FIELDS.get(number) != wire:
                raise _Broken(f"protobuf field {number} is not a field of ONNX models")
            seen.add(number)
            if isinstance(value, int):
                continue
            if number == GRAPH:
                self.graph(value, "", 0)
            elif number == TRAINING:
                for _, _, part in self.fields(value):
                    if not isinstance(part, int):
                        self.graph(part, "training.", 0)
            elif number == FUNCTIONS:
                self.function(value)
        if not {IR_VERSION, GRAPH} <= seen:
            raise _Broken("it contains no graph")

    def function(self, content: memoryview) -> None:
        name = domain = ""
        nodes: list[memoryview] = []
        for number, _, value in self.fields(content):
            if number == 1:
                name = _text(value)
            elif number == 10:
                domain = _text(value)
            elif number == 7 and not isinstance(value, int):
                nodes.append(value)
            elif number in (4, 5, 6, 11) and not isinstance(value, int):
                self.note("function", bytes(value))
        self.read.functions.add((domain, name))
        for node in nodes:
            self.node(node, f"{name}.", 0)

    def graph(self, content: memoryview, within: str, depth: int) -> None:
        if depth > DEEPEST:
            raise _Broken(f"graphs nested more than {DEEPEST} deep")
        for number, _, value in self.fields(content):
            if isinstance(value, int):
                continue
            if number == 1:
                self.node(value, within, depth)
            elif number == 5:
                self.tensor(value, within)
            elif number == 15:
                self.sparse(value, within)
            elif number in (11, 12):
                self.note("in or out", bytes(value))

    def node(self, content: memoryview, within: str, depth: int) -> None:
        texts: dict[int, list[str]] = {2: [], 3: [], 4: [], 7: []}
        attributes: list[memoryview] = []
        for number, _, value in self.fields(content):
            if number == 5 and not isinstance(value, int):
                attributes.append(value)
            elif number in (1, 2, 3, 4, 7):
                texts.setdefault(number, []).append(_text(value))
        operator = "".join(texts[4][-1:])
        domain = "".join(texts[7][-1:])
        self.read.operators.add((domain, operator))
        self.note("node", domain, operator, *texts.get(1, []), "to", *texts[2])
        name = "".join(texts[3][-1:]) or "".join(texts[2][:1]) or operator
        for attribute in attributes:
            self.attribute(attribute, f"{within}{name}", depth)

    def attribute(self, content: memoryview, of: str, depth: int) -> None:
        name, floats, ints, parts = "", bytearray(), bytearray(), list[tuple[int, memoryview]]()
        for number, wire, value in self.fields(content):
            if number == 1:
                name = _text(value)
            elif number in (2, 7) and not isinstance(value, int):
                floats += value
            elif number == 8:
                ints += _integers(self, wire, value)
            elif isinstance(value, int):
                self.note(number, value)
            elif number in (5, 6, 10, 11, 22, 23):
                parts.append((number, value))
            elif number not in (1, 13):
                self.note(number, bytes(value))
        self.note("attribute", name)
        for kind, numbers in (("<f4", floats), ("<i8", ints)):
            if numbers:
                self.add(f"{of}.{name}", ((len(numbers) // int(kind[2]),), kind, bytes(numbers)))
        for number, part in parts:
            if number in (6, 11):
                self.graph(part, f"{of}.{name}.", depth + 1)
            else:
                (self.tensor if number in (5, 10) else self.sparse)(part, f"{of}.{name}.")

    def sparse(self, content: memoryview, within: str) -> None:
        for number, wire, value in self.fields(content):
            if number in (1, 2) and not isinstance(value, int):
                self.tensor(value, f"{within}{'values' if number == 1 else 'indices'}.")
            elif number == 3:
                self.note("dims", _integers(self, wire, value))

    def tensor(self, content: memoryview, within: str) -> None:
        name, kind, external, beside = "", 0, False, dict[str, str]()
        dims, values, integers, texts = bytearray(), bytearray(), bytearray(), bytearray()
        for number, wire, value in self.fields(content):
            if number == 1:
                dims += _integers(self, wire, value)
            elif number in (5, 7, 11):
                integers += _integers(self, wire, value)
            elif number == 13 and not isinstance(value, int):
                entry = {key: _text(text) for key, _, text in self.fields(value)}
                beside[entry.get(1, "")] = entry.get(2, "")
            elif number == 6 and not isinstance(value, int):
                texts += len(value).to_bytes(8, "little") + value
            elif isinstance(value, int):
                kind, external = (value, external) if number == 2 else (kind, external or (number == 14 and value == 1))
            elif number == 8:
                name = _text(value)
            elif number in (4, 9, 10):
                values += value
        shape = tuple(struct.unpack(f"<{len(dims) // 8}q", dims))
        text = TYPES.get(kind, f"type {kind}")
        if external or beside:
            self.add_external(f"{within}{name}", beside, (shape, text, b""))
        elif integers:
            self.add(f"{within}{name}", (shape, "<i8", bytes(integers)))
        else:
            self.add(f"{within}{name}", (shape, text, bytes(values or texts)))

    def add_external(self, name: str, beside: dict[str, str], raw: Raw) -> None:
        numbers = [beside.get(key) for key in ("offset", "length")]
        if not all(number is None or (number.isdecimal() and len(number) < 19) for number in numbers):
            raise _Broken(f"tensor {name[:80]} has external data without a place")
        offset, length = (None if number is None else int(number) for number in numbers)
        self.read.external.append((self.unique(name), beside.get("location", ""), offset or 0, length, raw))

    def add(self, name: str, raw: Raw) -> None:
        self.read.tensors[self.unique(name)] = raw

    def unique(self, name: str) -> str:
        """Names may repeat in a hostile file, and in nodes without one."""
        self.note("tensor", name)
        name = name if name not in self.names else f"{name}#{len(self.names)}"
        self.names.add(name)
        return name

    def note(self, *parts: str | int | bytes) -> None:
        """Something that makes another model where it differs."""
        for part in parts:
            content = part if isinstance(part, bytes) else str(part).encode(errors="surrogateescape")
            self.digest.update(len(content).to_bytes(8, "little") + content)

    def fields(self, content: memoryview) -> Iterator[tuple[int, int, Value]]:
        """Number, wire type and value of each field of a message."""
        position, size = 0, len(content)
        while position < size:
            self.left -= 1
            if self.left < 0:
                raise _Broken(f"more than {MOST_FIELDS} protobuf fields")
            tag, position = self.varint(content, position)
            wire = tag & 7
            if wire == NUMBER:
                value, position = self.varint(content, position)
                yield tag >> 3, wire, value
                continue
            if wire == BYTES:
                length, position = self.varint(content, position)
            else:
                length = {EIGHT: 8, FOUR: 4}.get(wire, -1)
            end = position + length
            if length < 0:
                raise _Broken("a broken protobuf message")
            if end > size:
                raise _Broken("it ends in the middle of a field")
            yield tag >> 3, wire, content[position:end]
            position = end

    def varint(self, content: memoryview, position: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= len(content):
                raise _Broken("it ends in the middle of a field")
            byte = content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
        raise _Broken("a broken protobuf message")


def _integers(walk: _Walk, wire: int, value: Value) -> bytes:
    """Integers of a repeated field, alone or packed, as little-endian 64 bits each."""
    if isinstance(value, int):
        return (value & (2**64 - 1)).to_bytes(8, "little")
    if wire != BYTES:
        raise _Broken("a broken protobuf message")
    numbers, position = bytearray(), 0
    while position < len(value):
        walk.left -= 1
        if walk.left < 0:
            raise _Broken(f"more than {MOST_FIELDS} protobuf fields")
        number, position = walk.varint(value, position)
        numbers += (number & (2**64 - 1)).to_bytes(8, "little")
    return bytes(numbers)


def _text(value: Value) -> str:
    return str(value) if isinstance(value, int) else bytes(value).decode(errors="surrogateescape")
