"""Reads the files of a network, under the USER's Python in a process of its own: `python -I lume_worker.py REQUEST`.

No pickle is trusted: torch reads them with `weights_only`, and each class that they name is a record without behaviour,
so that nothing but tensors and numbers comes in. It imports nothing of Beampermit but `lume_network.py` beside it. The
result, or why there is none, goes as JSON to `report.json` beside the request, tensors to `weights.npz`, answers to
`answers.npy`.
"""

# torch is in the user's environment only.
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beampermit.generation import lume_network as layers
else:  # with -I, no folder of ours is on the path, where it would hide modules of the user's
    _beside = spec_from_file_location("beampermit_lume_network", Path(__file__).with_name("lume_network.py"))
    layers = module_from_spec(_beside)
    _beside.loader.exec_module(layers)

TRANSFORMERS = {f"{layers.TRANSFORMER_MODULE}.{name}": name for name in layers.TRANSFORMERS}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks")
KINDS = "a dictionary of weights (state_dict), or layers of torch.nn in a Sequential"
NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


class Record:
    """What a pickle says of an object: its attributes."""

    path = ""


class Refused(Exception):
    """What is wrong, and the file that is about."""

    def __init__(self, message: str, file: Any = None, hint: str = ""):
        super().__init__(message)
        self.file, self.hint = file, hint


def convert(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write tensors and answers of the network; returns the text of `network.py`, the scaling, and how they compare."""
    torch = _torch()
    import numpy as np

    inputs, outputs = request["inputs"], request["outputs"]
    saved, described = _read_network(torch, request["model"])
    scaling = {
        "inputs": [_scaling(torch, file, inputs) for file in request["input_transformers"]],
        "outputs": [_scaling(torch, file, outputs) for file in request["output_transformers"]],
    }
    text = request["network"]
    if text is None and described is not None:
        text = layers.network_text(described, Path(request["model"]).name, inputs, outputs)
    if text is None:
        message = "this file has weights without layers; name a Python file with a function network() that returns them"
        raise Refused(message, request["model"], "beampermit new --from-lume FILE --network network.py")
    np.savez(folder / "weights.npz", **{name: tensor.numpy() for name, tensor in saved.items()})

    dtype = torch.float64 if request["precision"] == "double" else torch.float32
    samples = torch.from_numpy(np.load(folder / "samples.npy")).to(dtype)
    network = _network_of(torch, text, folder / "weights.npz", request["model"]).to(dtype).eval()
    with torch.inference_mode():
        answers = _answers(torch, network, samples, scaling, outputs, request["model"])
    np.save(folder / "answers.npy", answers.double().numpy())
    compared, difference = [], None
    if described is not None:
        original, compared = _original(torch, request, scaling, dtype)
        with torch.inference_mode():
            expected = original(samples).reshape(len(samples), outputs)
        difference = float((answers - expected).abs().max() / max(float(expected.abs().max()), 1e-30))
    return {"network": text, "scaling": scaling, "compared": compared, "difference": difference}


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise Refused(f"this Python has no torch: {error}") from None
    if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        raise Refused(f"torch {torch.__version__} is too old to read a pickle safely; 2.6 or newer is")
    return torch


def _load(torch: Any, file: str, classes: Mapping[str, Any]) -> Any:
    """What `torch.save` wrote to `file`, if it names no other class than those of `classes`."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except ValueError as error:
        kind = "TorchScript, which is a program" if "torchscript" in str(error) else "no file of torch.save"
        raise Refused(f"this is {kind}; what is imported is {KINDS}", file) from None
    except Exception as error:
        raise Refused(f"torch cannot read this file: {_first_line(error)}", file) from None
    if unknown := sorted(set(named) - set(classes)):
        raise Refused(f"this file names {unknown[0]}, which is code and is not run; what is imported is {KINDS}", file)
    known = [(classes[name], name) for name in named]
    try:
        with torch.serialization.safe_globals(known):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise Refused(f"torch cannot read this file: {_first_line(error)}", file) from None


def _records(names: Any) -> dict[str, type]:
    """For each class that a pickle may name, a class that keeps attributes and does nothing."""
    return {name: type(name.rpartition(".")[2], (Record,), {"path": name}) for name in names}


def _read_network(torch: Any, file: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Tensors by name, and the layers; no layers where the file has weights alone."""
    content = _load(torch, file, _records(layers.LAYERS))
    tensors: dict[str, Any] = {}
    if isinstance(content, Mapping):
        tensors = dict(content)
        described = None
    elif isinstance(content, Record):
        described = _describe(torch, content, "", tensors, file)
    else:
        raise Refused(f"this file holds a {type(content).__name__}; what is imported is {KINDS}", file)
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise Refused(f"{name!r} is not a tensor; what is imported is {KINDS}", file)
        if tensor.layout != torch.strided or tensor.dtype not in (
            torch.float64,
            torch.float32,
            torch.float16,
            torch.int64,
        ):
            raise Refused(
                f"the tensor {name!r} is of a kind that is not imported: {tensor.dtype}, {tensor.layout}", file
            )
        if not bool(torch.isfinite(tensor).all()):
            raise Refused(f"the tensor {name!r} has values that are not finite", file)
    if not tensors:
        raise Refused("this file has no weights", file)
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, described


def _describe(torch: Any, record: Any, prefix: str, tensors: dict[str, Any], file: str) -> dict[str, Any]:
    """Kind and arguments of a layer; its tensors are added to `tensors`."""
    state = vars(record)
    kind = type(record).__name__
    if any(state.get(hooks) for hooks in HOOKS):
        raise Refused(f"the layer {prefix or kind} has hooks, which are code", file)
    for part in ("_parameters", "_buffers"):
        for name, tensor in state.get(part, {}).items():
            if tensor is not None:
                tensors[f"{prefix}{name}"] = tensor
    arguments = {name: _argument(state.get(name), f"{kind}.{name}", file) for name in layers.LAYERS[type(record).path]}
    if kind in (layers.LINEAR, layers.NORM):
        arguments["bias"] = state.get("_parameters", {}).get("bias") is not None
    described: dict[str, Any] = {"kind": kind, "arguments": arguments}
    inner = state.get("_modules", {})
    if kind == layers.SEQUENTIAL:
        if wrong := [name for name in inner if not isinstance(name, str) or not name or set(name) - set(NAME)]:
            raise Refused(f"{wrong[0]!r} is not a name of a layer", file)
        if wrong := [name for name, part in inner.items() if not isinstance(part, Record)]:
            raise Refused(f"the layer {prefix}{wrong[0]} is missing", file)
        described["layers"] = {
            name: _describe(torch, part, f"{prefix}{name}.", tensors, file) for name, part in inner.items()
        }
    return described


def _argument(value: Any, name: str, file: str) -> Any:
    if isinstance(value, tuple) and value and all(type(size) is int for size in value):
        return list(value)
    if isinstance(value, (bool, int, float)) or value is None or value in ("none", "tanh"):
        return value
    raise Refused(f"{name} is {value!r:.40}, which is not imported", file)


def _scaling(torch: Any, file: str, size: int) -> dict[str, list[float]]:
    """`offset` and `coefficient` of a transformer, which makes (value - offset) / coefficient of a value."""
    import numpy as np

    record = _load(torch, file, _records(TRANSFORMERS))
    if not isinstance(record, Record):
        wanted = ", ".join(layers.TRANSFORMERS)
        raise Refused(f"this file holds a {type(record).__name__}, and a transformer is one of {wanted}", file)
    state = vars(record)
    buffers = {**state.get("_parameters", {}), **state.get("_buffers", {})}
    numbers: list[Any] = [buffers.get(name) for name in ("_coefficient", "_offset")]
    if not all(isinstance(number, torch.Tensor) for number in numbers):
        raise Refused("this transformer has no coefficient and offset", file)
    indices = buffers.get("indices")
    chosen = list(range(size)) if indices is None else [int(index) for index in indices.flatten()]
    if any(not -size <= index < size for index in chosen):
        raise Refused(f"this transformer has the column {max(chosen)}, and there are {size} variables", file)
    coefficient, offset = np.ones(size), np.zeros(size)
    for whole, part in zip((coefficient, offset), numbers, strict=True):
        values = part.detach().double().flatten().numpy()
        if len(values) not in (1, len(chosen)):
            raise Refused(f"this transformer is for {len(values)} variables, and there are {len(chosen)}", file)
        whole[chosen] = values
    if not np.isfinite(coefficient).all() or not np.isfinite(offset).all() or (coefficient == 0).any():
        raise Refused("this transformer has a coefficient that is zero or not finite", file)
    if state.get("reverse"):
        coefficient, offset = 1 / coefficient, -offset / coefficient
    return {"offset": offset.tolist(), "coefficient": coefficient.tolist()}


def _network_of(torch: Any, text: str, weights: Path, file: str) -> Any:
    """What `network()` of the text returns, with the weights that were written."""
    import numpy as np

    names: dict[str, Any] = {"__name__": "network"}
    try:
        exec(compile(text, "network.py", "exec"), names)  # noqa: S102 - ours, or the file that the user named
        network = names["network"]()
    except Exception as error:
        raise Refused(f"network() cannot be made: {_first_line(error)}", "network.py") from None
    with np.load(weights, allow_pickle=False) as arrays:
        tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    try:
        network.load_state_dict(tensors)
    except Exception as error:
        raise Refused(f"its weights do not fit network(): {' '.join(str(error).split())[:300]}", file) from None
    return network


def _answers(torch: Any, network: Any, samples: Any, scaling: Mapping[str, Any], outputs: int, file: str) -> Any:
    """Answers with the numbers that were written, shape (rows, outputs)."""
    values = samples
    for step in scaling["inputs"]:
        offset, coefficient = (torch.tensor(step[key], dtype=samples.dtype) for key in ("offset", "coefficient"))
        values = (values - offset) / coefficient
    try:
        values = network(values)
    except Exception as error:
        raise Refused(f"the network takes no {samples.shape[1]} inputs: {_first_line(error)}", file) from None
    if tuple(values.shape) not in ((len(samples), outputs), (len(samples),) if outputs == 1 else ()):
        raise Refused(
            f"the network gives {list(values.shape[1:])} numbers for a row, and there are {outputs} outputs", file
        )
    values = values.reshape(len(samples), outputs)
    for step in scaling["outputs"]:
        offset, coefficient = (torch.tensor(step[key], dtype=samples.dtype) for key in ("offset", "coefficient"))
        values = values * coefficient + offset
    if not bool(torch.isfinite(values).all()):
        raise Refused("the network gives numbers that are not finite for inputs within their ranges", file)
    return values


def _original(
    torch: Any, request: Mapping[str, Any], scaling: Any, dtype: Any
) -> tuple[Callable[[Any], Any], list[str]]:
    """The saved objects themselves, of torch's own classes and, where it is installed, of the transformers' library."""
    network = _load(torch, request["model"], _classes(layers.LAYERS)).to(dtype).eval()
    try:
        known = _classes(TRANSFORMERS)
    except Exception:

        def plain(samples: Any) -> Any:
            return _answers(torch, network, samples, scaling, request["outputs"], request["model"])

        return plain, ["network"]
    before, after = (
        [_load(torch, file, known).to(dtype).eval() for file in request[f"{side}_transformers"]]
        for side in ("input", "output")
    )

    def whole(samples: Any) -> Any:
        for transformer in before:
            samples = transformer.transform(samples)
        answers = network(samples)
        for transformer in after:
            answers = transformer.untransform(answers)
        return answers

    return whole, ["network", "transformers"]


def _classes(names: Any) -> dict[str, Any]:
    """The classes themselves. Raises `ImportError` where a library is not installed."""
    parts = ((name, *name.rpartition(".")[::2]) for name in names)
    return {name: getattr(importlib.import_module(module), attribute) for name, module, attribute in parts}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def main() -> None:
    file = Path(sys.argv[1])
    request = json.loads(file.read_text(encoding="utf-8"))
    try:
        report = convert(request, file.parent)
    except Refused as refused:
        report = {"refused": str(refused), "file": refused.file, "hint": refused.hint}
    (file.parent / "report.json").write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
