"""A model whose inputs are drawn, the limits of its reference, and prediction logs of as many rows as a test wants."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from beampermit.contract import Contract, parse_contract
from beampermit.monitoring import reference
from beampermit.monitoring.limits import Limits, parse_limits
from beampermit.monitoring.windows import alarms, expected
from support.monitored_log import Arrays, write_log

BEGAN = 1_800_000_000.0
"""s since 1970: 2027-01-15 08:00 UTC."""
DEVICES = ("B1", "B2", "B3")
SIGNALS: dict[str, Any] = {
    "inputs": [
        {"name": "turns", "pv": "{device}:TBT", "shape": [8], "unit": "mm", "range": [-20, 20], "stale_after": "5s"},
        {"name": "current", "pv": "RING:CURRENT", "unit": "mA", "range": [0, 500], "expected": [295, 305]},
        {"name": "lifetime", "pv": "RING:LIFETIME", "unit": "h", "range": [0, 500]},
        {"name": "gain", "source": "constant", "value": 2.0, "unit": "1", "range": [0, 10]},
        {"name": "mode", "pv": "RING:MODE", "unit": "1", "range": [0, 3]},
    ],
    "outputs": [
        {"name": "score", "pv": "{device}:FAULT", "unit": "mm", "range": [-100, 100], "high": 1.0, "target": "fault"},
        {"name": "orbit", "pv": "{device}:ORBIT", "shape": [8], "unit": "mm", "range": [-90, 90]},
    ],
    "devices": "devices.csv",
}


def monitored_contract(text: str, **monitoring: Any) -> Contract:
    return parse_contract(monitored_text(text, **monitoring))


def monitored_text(text: str, **monitoring: Any) -> str:
    """The contract `text` with the signals above."""
    usual = yaml.safe_load(text)
    own = {"signals": SIGNALS, "monitoring": {**usual["monitoring"], **monitoring}}
    return yaml.safe_dump({**usual, "fallback": {"on_invalid": "invalid"}, **own})


def drawn(rows: int, seed: int = 0, **shifts: float) -> dict[str, np.ndarray]:
    """Inputs of so many rows; the lifetime follows the current. `shifts` are added to inputs."""
    draw = np.random.default_rng(seed)
    current = draw.normal(300, 1, rows)
    inputs = {
        "turns": draw.normal(0, 1, (rows, 8)),
        "current": current,
        "lifetime": 20 + (current - 300) + draw.normal(0, 0.1, rows),
        "gain": np.full(rows, 2.0),
        "mode": draw.choice([0.0, 1.0], rows, p=[0.9, 0.1]),
    }
    return {name: values + shifts.get(name, 0.0) for name, values in inputs.items()}


def answers(inputs: Arrays) -> dict[str, np.ndarray]:
    """What the model makes of them."""
    orbit = inputs["turns"] * inputs["gain"][:, None]
    return {"score": orbit.mean(axis=1), "orbit": orbit}


def content_of(inputs: Arrays, contract: Contract) -> dict[str, Any]:
    """The content of a file of limits, with these rows as the reference; the truth is a tenth beside the answers."""
    outputs = answers(inputs)
    limits = {output.name: alarms(output) for output in contract.signals.outputs}
    found = reference.limits(
        inputs,
        outputs,
        expected={signal.name: expected(signal) for signal in contract.signals.inputs},
        alarms={name: of for name, of in limits.items() if of != (None, None)},
        truth={"score": outputs["score"] + 0.1},
    )
    return {"split": contract.monitoring.reference, **found}


def limits_of(inputs: Arrays, contract: Contract) -> Limits:
    return parse_limits(content_of(inputs, contract), contract.monitoring.limits)


@cache
def usual_limits(text: str) -> Limits:
    """Of the contract `text`, from 2,000 rows."""
    return limits_of(drawn(2000, 7), monitored_contract(text))


def log_rows(folder: Path, contract: Contract, inputs: Arrays, *, apart: float = 2.0, **options: Any) -> Path:
    """A prediction log of these inputs in `folder/log`, which is returned: a cycle of three devices every `apart` s.

    Options are those of `write_log`; `began` is the time of the first cycle.
    """
    (folder / "devices.csv").write_text("device\n" + "\n".join(DEVICES) + "\n")
    at = options.pop("began", BEGAN) + apart * np.arange(len(inputs["current"]) // len(DEVICES))
    return write_log(
        folder / "log",
        contract,
        folder,
        at,
        {**inputs, **answers(inputs)},
        **{"version": 3, "device": list(DEVICES) * len(at), **options},
    )
