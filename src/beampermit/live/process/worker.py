"""Holds a saved model and answers the server, under the PROJECT's interpreter: `python -P worker.py`.

It imports nothing of Beampermit but two files by their paths. The model's code has no business with the channel, and
what it prints goes elsewhere.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beampermit.live.process import frames
    from beampermit.models import worker_arrays as arrays
else:  # with -P, no folder of ours is on the path, where it would hide modules of the project's

    def _by_path(file: Path) -> Any:
        spec = spec_from_file_location(f"beampermit_{file.stem}", file)
        module = sys.modules[spec.name] = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    frames = _by_path(Path(__file__).with_name("frames.py"))
    arrays = _by_path(Path(__file__).parents[2] / "models/worker_arrays.py")

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
DEVICE = "MLFLOW_DEFAULT_PREDICTION_DEVICE"
"""Read by flavors of MLflow and by the pipeline of a project."""
MOST_WORDS = 2000
FIRST_TO_GO = "500"
"""Where memory ends, the kernel ends the model before the server."""


def import_ahead() -> None:
    """What nearly every saved model needs, while the service still verifies its bytes: it takes most of a start.

    MLflow needs many a library that a model does not, torch is only there where one does. What fails here fails again
    when the model is loaded, which says why.
    """
    gc.disable()  # of a hundred thousand objects none goes: looking for one takes a sixth of the time
    with suppress(Exception):
        import mlflow.pyfunc  # noqa: F401

        if find_spec("torch") is not None:
            import torch  # noqa: F401  # pyright: ignore[reportMissingImports]
    gc.freeze()
    gc.enable()


def load(folder: Path, device: str) -> Any:
    if device != "cpu":
        os.environ[DEVICE] = choose_device(required=device == "cuda")
    try:
        import mlflow.pyfunc
    except ImportError as error:
        raise arrays.Refused(f"the environment cannot load saved models: {error}") from None
    # To know whether to warn, which nobody reads, it would read the metadata of every installed package.
    model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    signature = model.metadata.signature
    if signature is None or signature.inputs is None or signature.outputs is None:
        raise arrays.Refused("the saved model has no signature of inputs and outputs")
    return model


def choose_device(*, required: bool) -> str:
    """`cuda` where torch sees a GPU. Of an environment without torch nothing is known: its model chooses."""
    if find_spec("torch") is None:
        return "cuda" if required else ""
    import torch  # pyright: ignore[reportMissingImports]

    if torch.cuda.is_available():
        return "cuda"
    if required:
        raise arrays.Refused("the contract has cuda as its only accelerator, and torch sees no GPU")
    return "cpu"


def describe(model: Any) -> str:
    signature = model.metadata.signature
    return json.dumps(
        {
            "inputs": [arrays.field(field) for field in signature.inputs.inputs],
            "outputs": [arrays.field(field) for field in signature.outputs.inputs],
            "device": os.environ.get(DEVICE, ""),
        }
    )


def serve(channel: frames.Channel, model: Any, outputs: dict[str, list[int]]) -> None:
    """Answer until the server is gone."""
    schema = model.metadata.signature.inputs
    while True:
        number, asked = channel.receive()
        try:
            answers = arrays.outputs_of(model.predict(arrays.as_signed(schema, asked.arrays)), outputs)
        except BaseException as error:
            _fail(channel, number, error)
            continue
        try:
            channel.send("answer", number, arrays=answers)
        except frames.TooLarge as error:
            _fail(channel, number, error)


def _fail(channel: frames.Channel, number: int, error: BaseException) -> None:
    try:
        words = str(error)
    except Exception:  # also that is the model's code
        words = "it has no message"
    if isinstance(error, arrays.Refused | frames.TooLarge):
        channel.send("refused", number, text=words[:MOST_WORDS])
    else:
        channel.send("raised", number, text=f"{type(error).__name__}: {words}"[:MOST_WORDS])


def _end_with(parent: int) -> None:
    """End when the thread of the server ends that started this process, whatever the model is doing then."""
    if sys.platform != "linux":
        return
    with suppress(OSError):  # before /proc/self is closed to this user
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    library = ctypes.CDLL(None)
    library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # No other process of this user reads the memory and the open files of this one.
    library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--outputs", type=json.loads, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda", "any"), required=True)
    for name in ("--parent", "--socket", "--memory"):
        parser.add_argument(name, type=int, required=True)
    options = parser.parse_args(arguments)
    _end_with(options.parent)
    for descriptor in (options.socket, options.memory):
        os.set_inheritable(descriptor, False)
    channel = frames.Channel(socket.socket(fileno=options.socket), options.memory, server=False)
    os.close(options.memory)
    sys.argv[1:] = []
    with suppress(EOFError, OSError):  # the server is gone
        _run(channel, options)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(0)  # not before threads of the model end, which may never be


def _run(channel: frames.Channel, options: argparse.Namespace) -> None:
    import_ahead()
    _, asked = channel.receive(0)  # nothing of a model is read before this
    try:
        model = load(Path(asked.text), options.device)
        description = describe(model)
    except BaseException as error:
        _fail(channel, 0, error)
        return
    channel.send("ready", 0, text=description)
    serve(channel, model, options.outputs)


if __name__ == "__main__":
    main(sys.argv[1:])
