"""Files of weights are known by their content and read as tensors; a hostile one is refused, in little memory."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from beampermit.errors import BadInput
from beampermit.models import onnx
from beampermit.models.formats import find_problems
from beampermit.models.ubjson import MOST_VALUES, parse_ubjson
from beampermit.models.weight_files import find_weights, read_weights, weights_format
from support.attacks import attack_case

MODELS = Path(__file__).parents[2] / "data/models"
"""README.md there says how each was made."""


def npy(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=True)
    return content.getvalue()


def npz(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name.replace("_", "."), member)
    return content.getvalue()


class Payload:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return print, ("pickled code ran",)


READ = {
    "trees.json": ("XGBoost JSON", "trees.1.split_conditions"),
    "trees.ubj": ("XGBoost UBJ", "trees.1.split_conditions"),
    "trees.txt": ("LightGBM", "Tree=1 threshold"),
    "forest.onnx": ("ONNX", "TreeEnsembleRegressor.nodes_values"),
    "network.onnx": ("ONNX", "w"),
    "function.onnx": ("ONNX", "w"),
    "beside.onnx": ("ONNX", "w"),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("called", ["weights", "weights.pkl", None])
def test_a_file_of_a_framework_is_known_by_its_content_and_read(tmp_path: Path, name: str, called: str | None) -> None:
    format, tensor = READ[name]
    file = tmp_path / (called or name)
    shutil.copy(MODELS / name, file)
    shutil.copy(MODELS / "beside.data", tmp_path)
    found = weights_format(file)
    assert found is not None
    assert found.name == format
    assert tensor in found.read(file)
    assert find_problems([file]) == {}


def test_trees_of_json_and_ubj_are_the_same_numbers() -> None:
    text, binary = (read_weights(MODELS / f"trees.{suffix}") or {} for suffix in ("json", "ubj"))
    for name in ("trees.0.split_conditions", "trees.1.base_weights", "trees.1.left_children"):
        (_, kind, content), (_, other_kind, other) = text[name], binary[name]
        assert np.frombuffer(content, kind) == pytest.approx(np.frombuffer(other, other_kind), rel=1e-6)


def test_tensors_of_onnx_are_those_that_were_written() -> None:
    for name in ("network.onnx", "function.onnx", "beside.onnx"):
        assert (read_weights(MODELS / name) or {})["w"] == ((2, 1), "<f4", np.array([0.5, -0.25], "<f4").tobytes())


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("network.onnx", b"MatMul", b"MatAdd"),
        ("forest.onnx", b"BRANCH_LEQ", b"BRANCH_LTE"),
        ("trees.json", b'"reg:squarederror"', b'"reg:squaredlogerr"'),
        ("trees.txt", b"objective=regression", b"objective=binary"),
    ],
)
def test_what_is_no_number_makes_another_model(tmp_path: Path, name: str, before: bytes, after: bytes) -> None:
    content = (MODELS / name).read_bytes()
    assert before in content
    (tmp_path / name).write_bytes(content.replace(before, after))
    old, new = read_weights(MODELS / name) or {}, read_weights(tmp_path / name) or {}
    assert {key for key in old if old[key] != new[key]} <= {"operators and attributes", "settings"}
    assert old != new


def test_numpy_without_objects_is_read_whatever_its_order(tmp_path: Path) -> None:
    values = np.arange(6.0).reshape(2, 3)
    (tmp_path / "a.npy").write_bytes(npy(np.asfortranarray(values)))
    (tmp_path / "b.npz").write_bytes(npz(w_npy=npy(values), v_npy=npy(np.zeros((0, 2)))))
    assert find_problems([tmp_path / "a.npy", tmp_path / "b.npz"]) == {}
    assert read_weights(tmp_path / "a.npy") == {"a.npy": ((2, 3), "<f8", values.tobytes())}
    assert (read_weights(tmp_path / "b.npz") or {})["w"] == ((2, 3), "<f8", values.tobytes())


def test_other_files_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "example.json").write_text('{"turns": [1, 2]}')
    (tmp_path / "model.py").write_text("{'learner': 1}\n")
    (tmp_path / "page.txt").write_text("tree\nversion=v4\n")
    (tmp_path / "weights.safetensors").write_bytes(save({"w": np.zeros(1)}))
    (tmp_path / "broken.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    assert find_weights(tmp_path) == [tmp_path / "weights.safetensors"]


def test_the_file_with_the_tensors_of_an_onnx_model_belongs_to_it(tmp_path: Path) -> None:
    for name in ("beside.onnx", "beside.data"):
        shutil.copy(MODELS / name, tmp_path)
    files = [tmp_path / "beside.data", tmp_path / "beside.onnx"]
    assert find_weights(tmp_path) == files
    assert find_problems(files) == {}
    assert "is of an unknown format" in find_problems(files[:1])[files[0]], "without the model, nothing says what it is"
    files[0].write_bytes(b"\x00" * 9)
    assert "bytes after the last tensor" in find_problems(files)[files[1]]
    files[0].write_bytes(b"\x00" * 7)
    assert "tensor w lies beyond the end of beside.data" in find_problems(files)[files[1]]
    files[0].unlink()
    assert "'beside.data', which is not a file beside it" in find_problems(files[1:])[files[1]]


def beside(location: bytes) -> bytes:
    content = (MODELS / "beside.onnx").read_bytes()
    assert len(location) == len(b"beside.data")
    return content.replace(b"beside.data", location)


def operator(name: bytes) -> bytes:
    """ONNX Runtime's own domain, in which some operators run code all the same."""
    content = (MODELS / "operator.onnx").read_bytes()
    return content.replace(b"lab.operators", b"com.microsoft").replace(b"\x04Fast", b"\x04" + name)


REFUSED = [
    attack_case(
        "model.ubj", pickle.dumps(Payload()), "is really a pickle of protocol 4",
        guard="MDL002", tried="a pickle that is called model.ubj", said="is really a pickle of protocol 4",
    ),
    attack_case(
        "trees.ubj", (MODELS / "trees.ubj").read_bytes() + pickle.dumps(Payload()), "more follows its end",
        guard="MDL002", tried="a UBJ of XGBoost with a pickle behind it", said="more follows its end",
    ),
    attack_case(
        "model.onnx", (MODELS / "operator.onnx").read_bytes(), "it calls the operator lab.operators.Fast",
        guard="MDL002", tried="an ONNX model that calls an operator of a library of its author", said="it calls the",
    ),
    attack_case(
        "model.onnx", operator(b"ATen"), "it calls the operator com.microsoft.ATen, which is code outside",
        guard="MDL002", tried="an ONNX model that calls ATen, one of ONNX Runtime's doors to other code",
        said="which is code outside of the model",
    ),
    attack_case(
        "model.onnx", beside(b"../../etc/x"), "it has external data outside its folder: '../../etc/x'",
        guard="MDL002", tried="an ONNX model whose tensors lie in a file outside its folder", said="outside its folder",
    ),
    attack_case(
        "model.onnx", beside(b"/etc/passwd"), "it has external data outside its folder: '/etc/passwd'",
        guard="MDL002", tried="an ONNX model whose tensors lie in a file of the system", said="outside its folder",
    ),
    attack_case(
        "model.onnx", beside(b"linked.data"), "'linked.data', which is not a file beside it",
        guard="MDL002", tried="an ONNX model whose tensors lie behind a link", said="not a file beside it",
    ),
    attack_case(
        "a.npy", npy(np.array([Payload()], object)), "and the array holds Python objects, which are pickles",
        guard="MDL002", tried="a numpy array of objects, which unpickles", said="holds Python objects",
    ),
    attack_case(
        "a.npz", npz(w_npy=npy(np.array([Payload()], object))), "w.npy holds Python objects, which are pickles",
        guard="MDL002", tried="an archive of numpy with an array of objects", said="holds Python objects",
    ),
    attack_case(
        "a.npz", npz(w_npy=npy(np.zeros(1)), x_pkl=pickle.dumps(Payload())), "with a pickle in it (x.pkl)",
        guard="MDL002", tried="an archive of numpy with a pickle in it", said="with a pickle in it",
    ),
    attack_case(
        "weights", pickle.dumps(Payload()), "is a pickle of protocol 4; allowed are",
        guard="MDL002", tried="a pickle without a suffix", said="is a pickle of protocol 4",
    ),
]  # fmt: skip


BROKEN = [
    ("trees.json", (MODELS / "trees.ubj").read_bytes(), "is really XGBoost UBJ, so give it another name"),
    ("trees.txt", b"tree\nversion=v4\nimport os\n", "is of an unknown format; allowed are"),
    ("trees.ubj", b'{"learner":{"gradient_booster":{}}}', "is really XGBoost JSON, so give it another name"),
    ("notes.ubj", b"{U\x01aU\x01}", "it is not a model of XGBoost"),
    ("a.npy", npy(np.zeros(3))[:-1], "declares 24 bytes, 23 are there"),
    ("a.npy", npy(np.zeros(3)).replace(b"(3,)", b"(9,)"), "declares 72 bytes, 24 are there"),
    ("a.npy", npy(np.zeros(3)).replace(b"(3,), }", b"(99**9,)"), "has a broken header"),
    ("model.onnx", b"\x08\x09\x52\x00", "protobuf field 10 is not a field of ONNX models"),
    ("model.onnx", b"\x08\x09\x3a\x02\x0a\x7f", "it ends in the middle of a field"),
]


def problem_of(folder: Path, name: str, content: bytes) -> str:
    file = folder / name
    file.write_bytes(content)
    (problem,) = find_problems([file]).values()
    return problem


@pytest.mark.parametrize(
    ("name", "content", "reason"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_file_that_holds_code_is_refused(tmp_path: Path, name: str, content: bytes, reason: str, said: str) -> None:
    (tmp_path / "linked.data").symlink_to("/etc/passwd")
    problem = problem_of(tmp_path, name, content)
    assert reason in problem
    assert said in problem


@pytest.mark.parametrize("case", range(len(BROKEN)))
def test_a_file_that_is_broken_or_of_another_format_is_refused(tmp_path: Path, case: int) -> None:
    name, content, reason = BROKEN[case]
    assert reason in problem_of(tmp_path, name, content)


def nested(depth: int, inner: bytes = b"") -> bytes:
    """A graph in an attribute of a node of a graph, and so on."""
    content = inner
    for _ in range(depth):
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            content = tag + varint(len(content)) + content
    return b"\x08\x09\x3a" + varint(len(content)) + content


def varint(number: int) -> bytes:
    content = bytearray()
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])


HUGE = (2**62).to_bytes(8, "big")
HOSTILE = {
    "UBJ, an array of 2**62 numbers": (b"{U\x01a[$D#L" + HUGE, "bytes are declared, 0 are left"),
    "UBJ, a text of 2**62 bytes": (b"{U\x01aSL" + HUGE, "4611686018427387904 bytes are declared"),
    "UBJ, a text of negative length": (b"{U\x01aSi\xff", "-1 bytes are declared"),
    "UBJ, 2**62 nothings": (b"{U\x01a[$Z#L" + HUGE, "an array of 'Z', which is not a number"),
    "UBJ, lists in lists": (b"{U\x01a" + b"[" * 9999, "nested more than 64 deep"),
    "UBJ, objects in objects": (b"{U\x01a" * 9999, "nested more than 64 deep"),
    "UBJ, a key twice": (b"{U\x01aZU\x01aZ}", "'a' is given twice"),
    "UBJ, cut off": (b"{U\x01a[", "1 bytes are declared, 0 are left"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_ubj_is_refused_before_anything_is_made_of_it(case: str) -> None:
    content, reason = HOSTILE[case]
    tracemalloc.start()
    with pytest.raises(BadInput, match=reason):
        parse_ubjson(content, "model.ubj")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_ubj_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beampermit.models.ubjson.MOST_VALUES", 100)
    assert len(parse_ubjson(b"{U\x01a[" + b"Z" * 99 + b"]}", "model.ubj")["a"]) == 99
    with pytest.raises(BadInput, match="more than 100 values"):
        parse_ubjson(b"{U\x01a[" + b"Z" * 100 + b"]}", "model.ubj")
    assert MOST_VALUES > 10**6


@pytest.mark.slow
def test_a_hostile_onnx_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(nested(onnx.DEEPEST))
    assert onnx.read_onnx(file).tensors == {}
    file.write_bytes(nested(9999))
    with pytest.raises(BadInput, match="graphs nested more than 32 deep"):
        onnx.read_onnx(file)
    monkeypatch.setattr("beampermit.models.onnx.MOST_FIELDS", 100)
    file.write_bytes(nested(1, b"\x0a\x00" * 90))
    assert onnx.read_onnx(file).tensors == {}
    file.write_bytes(nested(1, b"\x0a\x00" * 100))
    with pytest.raises(BadInput, match="more than 100 protobuf fields"):
        onnx.read_onnx(file)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.npz"
    file.write_bytes(npz(w_npy=npy(np.zeros(10**6))))
    assert file.stat().st_size < 10**5
    monkeypatch.setattr("beampermit.models.arrays.LARGEST", 8 * 10**6)
    assert "arrays or 8000000 bytes" in find_problems([file])[file]
    monkeypatch.setattr("beampermit.models.arrays.LARGEST", 8 * 10**6 + 128)
    assert find_problems([file]) == {}


def test_a_json_that_is_deep_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trees.json"
    content = json.loads((MODELS / "trees.json").read_text())
    content["learner"]["deep"] = json.loads("[" * 200 + '"x"' + "]" * 200)
    file.write_text(json.dumps(content))
    with pytest.raises(BadInput, match="nested more than 64 deep"):
        read_weights(file)
