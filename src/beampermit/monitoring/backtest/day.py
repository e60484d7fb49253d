"""What a unit of a backtest runs: the windows of one day and version. `days.py` writes its request and its tree."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Before it is forked: each unit needs them.
import duckdb  # noqa: F401
import pyarrow.parquet  # noqa: F401  # pyright: ignore[reportMissingTypeStubs]

from beampermit.contract import parse_contract
from beampermit.datasets.tables import use_threads
from beampermit.errors import BeampermitError
from beampermit.files import write_bytes
from beampermit.monitoring.backtest.measuring import Measured, measure_part
from beampermit.monitoring.backtest.parts import Part
from beampermit.monitoring.limits import LARGEST, parse_limits
from beampermit.reading import read_json

CONTRACT, LIMITS, LOG = "contract.json", "limits.json", "log"
"""Of the tree."""


def main() -> int:
    use_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))  # those of this unit
    try:
        measured = _measured()
    except BeampermitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    write_bytes(Path("result.json"), measured.model_dump_json().encode())
    return 0


def _measured() -> Measured:
    request = read_json(Path("request.json"))
    contract = parse_contract(Path(CONTRACT).read_text(encoding="utf-8"))
    content = read_json(Path(LIMITS), limit=LARGEST)
    calibrated = {key: content[key] for key in ("calibrated", "calibrated_usual")}
    limits = parse_limits(content["limits"], LIMITS).model_copy(update=calibrated)
    places = range(*request["places"])
    part = Part(request["day"], request["version"], Path(LOG, request["folder"]), places, request["first"])
    return measure_part(part, contract, limits)


if __name__ == "__main__":
    sys.exit(main())
