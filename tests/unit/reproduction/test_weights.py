"""Weights of each format are compared by their numbers; what cannot be read, by its bytes."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from beampermit.reproduction.weights import Likeness, compare_weights, most_different

MODELS = Path(__file__).parents[2] / "data/models"
STEP = 2.0**-10
"""How far one number is moved, exact in 32 bits."""


def moved(content: bytes, before: bytes, after: bytes) -> bytes:
    assert before in content
    return content.replace(before, after, 1)


def with_one_number_moved(folder: Path, name: str) -> tuple[Path, Path]:
    """A file of a framework, and the same with one number larger by `STEP`."""
    before, after = folder / "before" / name, folder / "after" / name
    for place in (before, after):
        place.parent.mkdir()
        shutil.copy(MODELS / "beside.data", place.parent)
    if name in ("a.npy", "a.npz", "a.safetensors"):
        for file, number in ((before, 0.5), (after, 0.5 + STEP)):
            values = np.array([0.25, number])
            if name.endswith(".npy"):
                np.save(file, values)
            elif name.endswith(".npz"):
                np.savez(file, w=values)
            else:
                save_file({"w": values}, file)
        return before, after
    content = (MODELS / name).read_bytes()
    before.write_bytes(content)
    number = struct.pack("<f", 0.5), struct.pack("<f", 0.5 + STEP)
    if name == "beside.onnx":
        after.write_bytes(content)
        data = after.parent / "beside.data"
        data.write_bytes(moved(data.read_bytes(), *number))
    elif name == "network.onnx":
        after.write_bytes(moved(content, *number))
    elif name == "forest.onnx":
        values = content.index(b"nodes_values")
        (old,) = struct.unpack("<f", content[values + 13 : values + 17])
        new = struct.pack("<f", old + STEP)
        after.write_bytes(content[: values + 13] + new + content[values + 17 :])
    elif name == "trees.ubj":
        place = content.index(b"[$d#L", content.index(b"split_conditions")) + 13
        (old,) = struct.unpack(">f", content[place : place + 4])
        after.write_bytes(content[:place] + struct.pack(">f", old + STEP) + content[place + 4 :])
    else:
        key = b'"split_conditions":[' if name == "trees.json" else b"\nthreshold="
        start = content.index(key) + len(key)
        end = next(place for place in range(start, len(content)) if content[place : place + 1] in b",\n")
        number = repr(float(content[start:end]) + STEP).encode()
        after.write_bytes(content[:start] + number + content[end:])
    return before, after


@pytest.mark.parametrize(
    "name",
    [
        *("a.npy", "a.npz", "a.safetensors", "network.onnx", "beside.onnx", "forest.onnx"),
        *("trees.json", "trees.ubj", "trees.txt"),
    ],
)
def test_a_number_is_within_the_tolerance_or_not(tmp_path: Path, name: str) -> None:
    before, after = with_one_number_moved(tmp_path, name)
    assert most_different(compare_weights(before, before, 0.0)) is None
    for tolerance, likeness in ((1.01 * STEP, Likeness.WITHIN), (0.99 * STEP, Likeness.DIFFERENT)):
        (tensor,) = (found for found in compare_weights(before, after, tolerance) if found.absolute != 0)
        assert tensor.likeness is likeness
        assert tensor.absolute == pytest.approx(STEP, rel=1e-3)


def test_a_percentage_is_of_the_largest_element_of_each_tensor(tmp_path: Path) -> None:
    large, small, zero = np.array([-500.0, 1.0]), np.array([0.005, -0.001]), np.zeros(2)
    save_file({"large": large, "small": small, "zero": zero}, tmp_path / "before.safetensors")
    for part, likeness in ((0.0099, Likeness.WITHIN), (0.0101, Likeness.DIFFERENT)):
        second = np.array([0, part])
        moved = {"large": large + 500 * second, "small": small + 0.005 * second, "zero": zero}
        save_file(moved, tmp_path / "after.safetensors")
        found = compare_weights(tmp_path / "before.safetensors", tmp_path / "after.safetensors", "1%")
        assert [tensor.likeness for tensor in found] == [likeness, likeness, Likeness.IDENTICAL]
    save_file({**moved, "zero": zero + 1e-12}, tmp_path / "after.safetensors")
    *_, of_zero = compare_weights(tmp_path / "before.safetensors", tmp_path / "after.safetensors", "100%")
    assert of_zero.likeness is Likeness.DIFFERENT


def test_another_tree_is_no_number_that_is_near(tmp_path: Path) -> None:
    content = (MODELS / "trees.json").read_bytes()
    (tmp_path / "trees.json").write_bytes(moved(content, b'"num_trees":"2"', b'"num_trees":"1"'))
    (tensor,) = (found for found in compare_weights(MODELS / "trees.json", tmp_path / "trees.json", 9.0)
                 if found.likeness is not Likeness.IDENTICAL)  # fmt: skip
    assert tensor.text == "settings, of another shape, kind or content"
    assert tensor.likeness is Likeness.DIFFERENT


def test_what_cannot_be_read_is_compared_byte_by_byte(tmp_path: Path) -> None:
    for name, content in (("a", b"\x80\x04words"), ("b", b"\x80\x04words"), ("c", b"\x80\x04other")):
        (tmp_path / name).write_bytes(content)
    (same,) = compare_weights(tmp_path / "a", tmp_path / "b", 9.0)
    (other,) = compare_weights(tmp_path / "a", tmp_path / "c", 9.0)
    (broken,) = compare_weights(MODELS / "trees.ubj", tmp_path / "c", 9.0)
    likenesses = [tensor.likeness for tensor in (same, other, broken)]
    assert likenesses == [Likeness.IDENTICAL, Likeness.DIFFERENT, Likeness.DIFFERENT]


def test_tensors_that_declare_more_than_they_have_are_no_error(tmp_path: Path) -> None:
    content = (MODELS / "network.onnx").read_bytes()
    short = moved(content, b"J\x08" + struct.pack("<2f", 0.5, -0.25), b"J\x06" + bytes(6) + b"\x62\x00")
    (tmp_path / "short.onnx").write_bytes(short)
    tensors = compare_weights(MODELS / "network.onnx", tmp_path / "short.onnx", 9.0)
    assert {tensor.likeness for tensor in tensors} >= {Likeness.DIFFERENT}
