"""NVIDIA's client of the Open Inference Protocol v2, in a process of its own: what it makes of a server, as JSON.

    python triton_child.py HOST:PORT MODEL < QUESTION

A question is name -> [datatype, values]. It is asked as JSON, and in binary, as the client does if nobody says
otherwise.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException


def main(address: str, model: str, question: dict[str, Any]) -> None:
    client = InferenceServerClient(address, network_timeout=30.0, connection_timeout=30.0)
    described = client.get_model_metadata(model)
    found: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": [client.is_server_ready(), client.is_model_ready(model)],
        "server": client.get_server_metadata(),
        "model": described,
    }
    outputs = [output["name"] for output in described["outputs"]]
    answer = _ask(client, model, question, outputs, binary=False)
    values = {name: answer.as_numpy(name) for name in outputs}
    found |= {
        "answer": answer.get_response(),
        "values": {name: np.where(np.isnan(each), None, each).tolist() for name, each in values.items()},
        "types": {name: str(each.dtype) for name, each in values.items()},
    }
    try:
        _ask(client, model, question, outputs, binary=True)
    except InferenceServerException as error:
        found["binary"] = [error.status(), error.message()]
    sys.stdout.write(json.dumps(found))


def _ask(
    client: InferenceServerClient, model: str, question: dict[str, Any], outputs: list[str], *, binary: bool
) -> Any:
    asked = [InferRequestedOutput(name, binary_data=binary) for name in outputs]
    inputs = [_input(name, *given, binary) for name, given in question.items()]
    return client.infer(model, inputs, outputs=asked, request_id="7")


def _input(name: str, datatype: str, values: Any, binary: bool) -> InferInput:
    kinds = {"BYTES": np.object_, "FP32": np.float32, "FP64": np.float64}
    array = np.array(values, kinds[datatype])
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.load(sys.stdin))
