"""What goes into a model and comes out of it keeps its name, its shape and its type, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beampermit.environments import Environment
from beampermit.models import worker_arrays

pytestmark = pytest.mark.slow

IMAGE = "np.stack([turns, turns], axis=1)"
SEVERAL = 'pd.DataFrame({"orbit": [[1.0] * (2 + (row > 0)) for row in range(7)]})'
ANSWERS: dict[str, tuple[str, list[int], str]] = {
    "an array without a name": ("turns.mean(axis=1)", [], "orbit float"),
    "a table without names": ("pd.DataFrame(turns.mean(axis=1))", [], "orbit float"),
    "a column for a number": ("turns[:, :1]", [], "orbit float"),
    "a column for a list of one": ("turns[:, :1]", [1], "orbit list of 1 float"),
    "whole numbers": ("(turns.mean(axis=1) * 1000).astype(np.int64)", [], "orbit int64"),
    "yes or no": ("turns.mean(axis=1) > 1", [], "orbit bool"),
    "half precision": ("turns.mean(axis=1).astype(np.float16)", [], "orbit float"),
    "double precision": ("turns.astype(np.float64)", [3], "orbit list of 3 double"),
    "another name": ('pd.DataFrame({"score": turns.mean(axis=1)})', [], "score float"),
    "lists in a table": ('pd.DataFrame({"orbit": list(turns)})', [3], "orbit list of 3 float"),
    "images": ('{"orbit": ' + IMAGE + "}", [2, 3], "orbit list of 2 list of 3 float"),
    "images of another shape": ('{"orbit": ' + IMAGE + "}", [3, 2], "orbit list of 2 list of 3 float"),
    "images in a table": (
        'pd.DataFrame({"orbit": ' + IMAGE + ".tolist()})", [2, 3], "orbit list of 2 list of 3 double"
    ),
    "arrays of arrays": (
        'pd.DataFrame({"orbit": pa.array(' + IMAGE + ".tolist()).to_pandas()})", [2, 3],
        "orbit list of 2 list of 3 double",
    ),
    "text": ('pd.DataFrame({"orbit": ["high"] * 7})', [], "output 'orbit' is of type str, not a number"),
    "numbers as text": ('pd.DataFrame({"orbit": ["0.5"] * 7})', [], "output 'orbit' is of type str, not a number"),
    "times": ("np.zeros(7, 'M8[s]')", [], "output 'orbit' is of type datetime64[s], not a number"),
    "nothing": ("[None] * 7", [], "orbit double"),
    "lists of several lengths": (SEVERAL, [3], "rows of output 'orbit' have several shapes"),
    "lists of nothing": ("np.zeros((7, 0))", [3], "rows of output 'orbit' have no values"),
    "two of one name": (
        'pd.DataFrame(np.zeros((7, 2)), columns=["orbit", "orbit"])', [], "two outputs are called 'orbit'"
    ),
}  # fmt: skip
INPUTS: dict[str, tuple[str, list[int], str]] = {
    "nested": ("[[[0, 1, 2, 3], [4, 5, 6, 7]]] * 3", [2, 4], "3 x 2 x 4"),
    "flat": ("[[0, 1, 2, 3, 4, 5, 6, 7]] * 3", [2, 4], "3 x 2 x 4"),
    "of any length": ("[[0, 1, 2, 3, 4]] * 3", [-1], "3 x 5"),
    "numbers": ("[1, 2, 3]", [], "3"),
    "numbers as lists of one": ("[1, 2, 3]", [1], "3 x 1"),
    "turned": (
        "[[[0, 1], [2, 3], [4, 5], [6, 7]]]", [2, 4], "rows of 'turns' are 4 x 2 numbers, the model takes 2 x 4 numbers"
    ),
    "too short": ("[[0, 1, 2]]", [2, 4], "rows of 'turns' are 3 numbers, the model takes 2 x 4 numbers"),
    "a number": ("[1, 2]", [2], "rows of 'turns' are single numbers, the model takes 2 numbers"),
    "ragged": ("[[[0, 1], [2]]]", [2, 2], "rows of 'turns' have 1 or 2 values"),
    "a null inside": ("[[[0, 1], [None, 3]]]", [2, 2], "'turns' has nulls"),
}  # fmt: skip
SIGNED: dict[str, tuple[str, str, str]] = {
    "double": ('"type": "double"', "np.arange(2.0)", "float64"),
    "single": ('"type": "float"', "np.arange(2.0)", "float32"),
    "whole": ('"type": "long"', "np.arange(2.0)", "int64"),
    "not whole": ('"type": "long"', "np.array([1.0, 0.5])", "'turns' is 0.5, the model takes whole numbers"),
    "true or false": ('"type": "boolean"', "np.arange(2.0)", "bool"),
    "lists": ('"type": "array", "items": {"type": "float"}', "np.ones((2, 3))", "float32 3"),
    "images": (
        '"type": "array", "items": {"type": "array", "items": {"type": "double"}}', "np.ones((2, 3, 4))",
        "float64 3 x 4",
    ),
    "tensor": ('"type": "tensor", "tensor-spec": {"dtype": "int32", "shape": [-1, 3]}', "np.ones((2, 3))", "int32 3"),
    "tensor that is not whole": (
        '"type": "tensor", "tensor-spec": {"dtype": "int32", "shape": [-1, 3]}', "np.full((2, 3), 0.5)",
        "'turns' is 0.5, the model takes whole numbers",
    ),
    "turned tensor": (
        '"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}', "np.ones((2, 4))",
        "rows of 'turns' are 4 numbers, the model takes 3 numbers",
    ),
    "another": ('"type": "double", "name": "orbit"', "np.ones(2)", "the model takes 'orbit', which is not an input"),
}  # fmt: skip
"""Of each the type in the signature, what there is, and what the model gets: the type, and the shape of a row."""
SCRIPT = """\
import importlib.util, json, sys
import numpy as np, pandas as pd, pyarrow as pa
from mlflow.models.utils import _enforce_schema
from mlflow.types import Schema
spec = importlib.util.spec_from_file_location("arrays", sys.argv[1])
arrays = importlib.util.module_from_spec(spec)
spec.loader.exec_module(arrays)
turns = np.arange(21, dtype=np.float32).reshape(7, 3)
def kind(of):
    return f"list of {of.list_size} {kind(of.value_type)}" if pa.types.is_fixed_size_list(of) else str(of)
def answer(text, shape):
    found = arrays.columns([arrays.outputs_of(eval(text), {"orbit": shape})] * 2)
    return "; ".join(f"{name} {kind(pa.array(column).type)}" for name, column in found.items())
def given(text, shape):
    return " x ".join(map(str, arrays.shaped(arrays.tensor(pa.array(eval(text)), "turns"), shape, "turns").shape))
def signed(kind, values):
    schema = Schema.from_json('[{"name": "turns", "required": true, ' + kind + "}]")
    taken = _enforce_schema(arrays.as_signed(schema, {"turns": eval(values)}), schema)["turns"]
    row = np.asarray(taken[0])
    return f"{row.dtype} {' x '.join(map(str, row.shape))}".strip()
def said(make, *arguments):
    try:
        return make(*arguments)
    except arrays.Refused as error:
        return str(error)
cases = json.load(open(sys.argv[2]))
found = {side: {name: said(make, *case[:2]) for name, case in cases[side].items()}
         for side, make in (("answers", answer), ("inputs", given), ("signed", signed))}
json.dump(found, open(sys.argv[2], "w"))
"""


def test_answers_and_inputs_keep_name_shape_and_type_or_are_refused(probed: Environment, tmp_path: Path) -> None:
    """All in one process of the project's environment."""
    cases = tmp_path / "cases.json"
    cases.write_text(json.dumps({"answers": ANSWERS, "inputs": INPUTS, "signed": SIGNED}))
    words = ["-c", SCRIPT, worker_arrays.__file__, str(cases)]
    finished = probed.run(words, project=tmp_path, own_code=False)
    assert finished.code == 0, finished.err
    found = json.loads(cases.read_text())
    assert found["answers"] == {name: said for name, (_, _, said) in ANSWERS.items()}
    assert found["inputs"] == {name: said for name, (_, _, said) in INPUTS.items()}
    assert found["signed"] == {name: said for name, (_, _, said) in SIGNED.items()}
