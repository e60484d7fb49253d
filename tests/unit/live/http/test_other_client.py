"""NVIDIA's client of the Open Inference Protocol, which shares no line with the server, asks and is answered."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from support.http_service import NAME, Browse, Browsed
from support.paths import ROOT
from support.served import SIGNALS, Serve

pytestmark = pytest.mark.slow
VALVE = {"name": "valve", "pv": "{device}:VALVE", "words": ["OUT", "IN"]}


def test_another_client_sees_health_metadata_values_and_what_is_invalid(serve: Serve, browse: Browse) -> None:
    browsed = browse(serve(signals={**SIGNALS, "inputs": [*SIGNALS["inputs"], VALVE]}))
    turns, words = [[1, 2, 3], [1, 2, 21], [4, 4, 4], [1, 2, 3]], ["IN", "IN", "OUT", "STUCK"]
    found = seen(browsed, turns=["FP32", turns], current=["FP64", [300.0] * 4], valve=["BYTES", words])
    assert (found["live"], found["ready"], found["server"]["name"]) == (True, [True, True], "beampermit")
    kinds = {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in found["model"]["inputs"]}
    assert kinds == {"turns": ("FP64", [-1, 3]), "current": ("FP64", [-1]), "valve": ("BYTES", [-1])}
    assert found["values"] == {
        "score": [4.0, None, 8.0, None],
        "orbit": [[2.0, 4.0, 6.0], [None] * 3, [8.0] * 3, [None] * 3],
    }
    assert found["types"] == {"score": "float64", "orbit": "float64"}
    answer = found["answer"]
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", NAME, "3")
    told = answer["outputs"][0]["parameters"]
    assert told["severity"] == ["NO_ALARM", "INVALID", "NO_ALARM", "INVALID"]
    assert told["reason"][1::2] == [
        "turns of row 1 is 21, outside its range [-20, 20]",
        "valve of row 3 has the word 'STUCK', which is none of OUT, IN",
    ]
    assert found["binary"] == ["400", "binary data are not read here: send the data as JSON"]


def seen(browsed: Browsed, **question: Any) -> Any:
    host, port = browsed.server.address
    done = subprocess.run(
        [sys.executable, ROOT / "tests/support/triton_child.py", f"{host}:{port}", NAME],
        input=json.dumps(question),
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)
