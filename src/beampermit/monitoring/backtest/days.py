"""A backtest as units of work: one a day and version, which is not done again while nothing that it reads changes."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import beampermit
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import Executor
from beampermit.compute.unit import Ended, Unit
from beampermit.digest import digest_bytes, digest_file, digest_json
from beampermit.errors import Failed
from beampermit.files import write_text
from beampermit.live.log.stream import CLOSED, OPEN
from beampermit.monitoring.backtest.day import CONTRACT, LIMITS, LOG
from beampermit.monitoring.backtest.measuring import Measured, joined
from beampermit.monitoring.backtest.parts import Part, files_of, parts_of
from beampermit.monitoring.backtest.recorded import Recording, Series
from beampermit.monitoring.limits import Limits
from beampermit.progress import Progress, silent
from beampermit.reading import first_fault

MODULE = "beampermit.monitoring.backtest.day"
MOST_PAIRS = 60_000
"""Values with their limits in the result of a unit; a day that has more is cut into pieces."""
JUDGES = ("contract", "datasets", "live/log", "monitoring")
"""Of our own code, what a window is read and measured with."""
OF_WINDOWS = ("signals", "budget", "serving", "monitoring")
"""Parts of the contract that what is measured of a window depends on, but for these keys:"""
OF_ALARMS = frozenset(
    {"raise_after", "of", "clear_after", "clear_below", "delay_on", "delay_off", "major", "on_trip", "response",
     "bypass_at_most", "limits", "calibration", "truth", "truth_within", "truth_after"}
)  # fmt: skip


def measure_by_days(
    recording: Recording, limits: Limits, executor: Executor, work: Path, progress: Progress = silent
) -> Series:
    """As `measure`, by units in the folder `work`. Raises `Failed` where one fails, when all others are done."""
    parts = [piece for part in parts_of(recording) for piece in _pieces(part, recording, limits)]
    found, failed = list[Measured](), list[Ended]()
    with _tree(recording, limits, parts, work) as tree:
        units = {unit.digest: (unit, part) for unit, part in _units(recording, limits, parts, tree)}
        each = iter([unit for unit, _ in units.values()])
        with closing(perform_all(each, executor, work, progress, total=len(units), what="judge days")) as performed:
            for ended in performed:
                _, part = units[ended.unit.digest]
                if ended.result is None:
                    failed.append(ended)
                    continue
                found.append(_measured(ended, part))
                if ended.unit.request.get("written"):  # what is still written is never asked for again
                    shutil.rmtree(ended.folder, ignore_errors=True)
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise Failed(
            f"{failed[0].unit.label} cannot be judged{more}: {failed[0].reason}",
            file=recording.log,
            hint="type the command again: days that were judged are kept",
        )
    return joined(recording, parts, found)


def _units(recording: Recording, limits: Limits, parts: Sequence[Part], tree: Path) -> Iterator[tuple[Unit, Part]]:
    common = [_of_contract(recording), _of_limits(limits), _code()]
    for part in parts:
        files, written = _files(part, recording)
        request: dict[str, Any] = {
            "day": part.day,
            "version": part.version,
            "folder": _name(part),
            "places": [part.places.start, part.places.stop],
            "first": part.first,
        }
        if written:
            request["written"] = time.time_ns()
        yield Unit(part.label, MODULE, request, tree, digest_json([*common, files])), part


def _files(part: Part, recording: Recording) -> tuple[dict[str, str], bool]:
    """File -> digest of what is read of the log; and whether a service still writes to any of it."""
    digests, written = dict[str, str](), False
    for file in files_of(part, recording):
        try:
            written |= file.suffix == OPEN
            digests[file.relative_to(part.folder).as_posix()] = "" if file.suffix == OPEN else digest_file(file)
        except FileNotFoundError:  # closed or removed just now
            written = True
    return digests, written


def _measured(ended: Ended, part: Part) -> Measured:
    try:
        measured = Measured.model_validate(ended.result)
    except ValidationError as error:
        reason = f"{part.label}: the result is none of a backtest: {first_fault(error)}"
        raise Failed(reason, file=ended.folder, hint=f"rm -r {ended.folder}") from None
    lengths = {measured.count, *map(len, measured.found.values())}
    if measured.first != part.places.start or lengths != {len(part.places)}:
        raise Failed(f"{part.label}: the result is of other windows", file=ended.folder, hint=f"rm -r {ended.folder}")
    return measured


def _pieces(part: Part, recording: Recording, limits: Limits) -> Iterator[Part]:
    signals = recording.contract.signals
    keys = len(limits.keys) + 3 * (len(signals.inputs) + len(signals.outputs)) + 3
    yield from part.pieces(max(1, MOST_PAIRS // keys))


@contextmanager
def _tree(recording: Recording, limits: Limits, parts: Sequence[Part], work: Path) -> Iterator[Path]:
    """What all units read: contract, limits, and links to the files of the log that they need."""
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="backtest-", dir=work) as name:
        tree = Path(name)
        write_text(tree / CONTRACT, json.dumps(recording.contract.model_dump(mode="json", exclude_unset=True)))
        write_text(tree / LIMITS, json.dumps(_of_limits(limits)))
        (tree / LOG).mkdir()
        for part in parts:
            for file in files_of(part, recording):
                _link(file, tree / LOG / _name(part) / file.relative_to(part.folder))
        yield tree


def _link(file: Path, link: Path) -> None:
    """A link to a file of the log; of one that is still written, what there is now."""
    if link.is_symlink() or link.exists():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == OPEN:
        with suppress(FileNotFoundError):
            shutil.copyfile(file, link)
            return
        file, link = file.with_suffix(CLOSED), link.with_suffix(CLOSED)  # closed just now
    link.symlink_to(file.resolve())


def _name(part: Part) -> str:
    return "all" if part.version is None else str(part.version)


def _of_contract(recording: Recording) -> Mapping[str, Any]:
    contract = recording.contract.model_dump(mode="json")
    kept = {name: contract[name] for name in OF_WINDOWS}
    return kept | {"monitoring": {key: value for key, value in kept["monitoring"].items() if key not in OF_ALARMS}}


def _of_limits(limits: Limits) -> Mapping[str, Any]:
    calibrated = {"calibrated": dict(limits.calibrated), "calibrated_usual": dict(limits.calibrated_usual)}
    return {"limits": limits.model_dump(mode="json"), **calibrated}


@cache
def _code() -> list[str]:
    """Of what judges: our own code, and what it counts with."""
    root = Path(beampermit.__file__).parent
    files = sorted(path for folder in JUDGES for path in (root / folder).rglob("*.py"))
    own = {path.relative_to(root).as_posix(): digest_bytes(path.read_bytes()) for path in files}
    return [digest_json(own), *(version(name) for name in ("numpy", "duckdb", "pyarrow"))]
