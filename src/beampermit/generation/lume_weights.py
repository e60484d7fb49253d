"""Converts the weights of a LUME model to safetensors, with the Python of the environment that can read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.errors import BadInput, Outside
from beampermit.files import write_bytes, write_json, write_text
from beampermit.generation.lume import LumeModel
from beampermit.processes import REPEATABLE, clean_variables, run, scratch_folder
from beampermit.reading import read_json
from beampermit.record import Number, Record

if TYPE_CHECKING:
    import numpy as np

WORKER = Path(__file__).with_name("lume_worker.py")
SAMPLES = 2000
"""Rows within the inputs' ranges that the network is asked for: they check the conversion, and give outputs a range."""
TIMEOUT = 600.0
ALLOWED = {"double": 1e-9, "single": 1e-4}
"""How far, relative to the largest answer, the converted network may be from the saved one."""


class Scaling(Record):
    """Of each column: an input becomes (value - offset) / coefficient, an answer value * coefficient + offset."""

    offset: tuple[Number, ...]
    coefficient: tuple[Number, ...]


class Scalings(Record):
    """In the order in which they are applied."""

    inputs: tuple[Scaling, ...]
    outputs: tuple[Scaling, ...]


class Network(Record):
    """What the worker found; its report."""

    network: str
    """The text of `network.py`."""
    scaling: Scalings
    compared: tuple[str, ...]
    """What of the saved model could be asked itself: its network, its transformers."""
    difference: Number | None
    """Of its answers from those of the converted one, relative to the largest; none where it could not be asked."""


class Imported(Record):
    """A converted network, and the lowest and highest answer of each output."""

    network: Network
    spans: tuple[tuple[float, float], ...]


def convert(model: LumeModel, folder: Path, python: Path | None = None, network: Path | None = None) -> Imported:
    """Write `weights.safetensors` and `scaling.json` to `folder`.

    `python` is the interpreter with torch, by default the `python` of this shell. `network` is a file with a function
    `network()`, for weights that were saved without their layers. Raises `BadInput` for files that are not imported,
    and `Outside` where the interpreter cannot be run.
    """
    import numpy as np
    from safetensors.numpy import save

    python = python or _default_python()
    with scratch_folder() as scratch:
        np.save(scratch / "samples.npy", samples(model))
        request = {
            "model": str(model.model.resolve()),
            "input_transformers": [str(path.resolve()) for path in model.input_transformers],
            "output_transformers": [str(path.resolve()) for path in model.output_transformers],
            "inputs": len(model.inputs),
            "outputs": len(model.outputs),
            "precision": model.precision,
            "network": None if network is None else _text_of(network),
        }
        write_json(scratch / "request.json", request)
        found = _ask(python, scratch)
        _check(model, found)
        with np.load(scratch / "weights.npz", allow_pickle=False) as arrays:
            content = save({name: np.ascontiguousarray(arrays[name]) for name in arrays.files})
        answers = np.load(scratch / "answers.npy", allow_pickle=False)
    write_bytes(folder / "weights.safetensors", content)
    scaling = {
        "precision": model.precision,
        "inputs": [variable.slug for variable in model.inputs],
        "outputs": [variable.slug for variable in model.outputs],
        "before": [step.model_dump(mode="json") for step in found.scaling.inputs],
        "after": [step.model_dump(mode="json") for step in found.scaling.outputs],
    }
    write_text(folder / "scaling.json", json.dumps(scaling, indent=2) + "\n")
    spans = zip(answers.min(axis=0).tolist(), answers.max(axis=0).tolist(), strict=True)
    return Imported(network=found, spans=tuple(spans))


def samples(model: LumeModel, rows: int = SAMPLES) -> np.ndarray:
    """Random inputs, shape (rows, inputs): each within its range, constants as they are."""
    import numpy as np

    generator = np.random.default_rng(0)
    columns = [
        np.full(rows, variable.default)
        if variable.constant or variable.span is None
        else generator.uniform(*variable.span, rows)
        for variable in model.inputs
    ]
    return np.stack(columns, axis=1)


def _default_python() -> Path:
    named = shutil.which("python") or shutil.which("python3")
    if named is None:
        raise BadInput("there is no python on the PATH", hint="beampermit new --from-lume FILE --python PYTHON")
    return Path(named)


def _text_of(network: Path) -> str:
    if not network.is_file():
        raise BadInput("there is no such file", file=network)
    try:
        return network.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput("this file is not UTF-8", file=network) from None


def _ask(python: Path, folder: Path) -> Network:
    command = (python.absolute(), "-I", WORKER, folder / "request.json")
    variables = {**clean_variables(), **REPEATABLE}
    try:
        finished = run(command, cwd=folder, env=variables, timeout=TIMEOUT, clean=True)
    except PermissionError:
        raise BadInput("this is not a program", file=python) from None
    report = folder / "report.json"
    if finished.code or not report.is_file():
        raise Outside(f"{python} could not convert the weights: {finished.tail}")
    answer: dict[str, Any] = read_json(report)
    if "refused" in answer:
        hint = answer["hint"] or _hint(answer["refused"])
        raise BadInput(answer["refused"], file=answer["file"] or python, hint=hint)
    return Network.model_validate(answer)


def _hint(message: str) -> str:
    if "no torch" in message or "too old" in message:
        return "beampermit new --from-lume FILE --python PYTHON"
    if "which is code" in message or "TorchScript" in message:
        return (
            "where you trust it, save its weights alone, `torch.save(model.state_dict(), FILE)`, name that file as"
            " model, and give a Python file with its layers: --network network.py"
        )
    return ""


def _check(model: LumeModel, found: Network) -> None:
    allowed = ALLOWED[model.precision]
    if found.difference is not None and not found.difference <= allowed:
        differs = f"differs by {found.difference:.2g} of the largest answer, {allowed:g} is allowed"
        raise BadInput(f"the converted network {differs}", file=model.model)
    for side, scalings in (("inputs", found.scaling.inputs), ("outputs", found.scaling.outputs)):
        count = len(getattr(model, side))
        if any(len(step.offset) != count or len(step.coefficient) != count for step in scalings):
            raise BadInput(f"a transformer is not for the {count} {side}", file=model.file)
