"""The rows of a table as the service would judge them: which it would ask its model for, and what it would show."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from beampermit.contract import Contract
from beampermit.contract.service import Fallback
from beampermit.contract.words import word_of
from beampermit.datasets.arrays import depth_of, flattened
from beampermit.datasets.devices import Devices
from beampermit.datasets.tables import connect, parquet, quoted
from beampermit.errors import Failed
from beampermit.live.answers import first_problem
from beampermit.live.latest import Fault, Latest, Readings
from beampermit.live.loop import Loop, Standing
from beampermit.live.rows import Rows, assemble
from beampermit.live.sharing import Model, Raised
from beampermit.live.update import Value
from beampermit.live.wiring import Plug, Wire, Wiring
from beampermit.models.replay import differing_scores
from beampermit.models.score_table import shape_in_words

AT_ONCE, NUMBERS_AT_ONCE = 1024, 4_000_000
"""Rows in memory, and numbers of their inputs."""
MOST_BATCHES, FEWEST_BATCHES = 100, 5
MOST_NUMBERS = 20_000_000
"""Of all inputs of the rows that are asked for."""
SECONDS = 5.0
"""For the batches beyond the fewest."""


@dataclass
class _Listened:
    """A `Model`, and why it raised first: a loop asks on in parts, and nobody sees what that costs each time."""

    model: Model
    raised: str = ""

    @property
    def restarts(self) -> int:
        return self.model.restarts

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self.model.ask(inputs)
        except Raised as error:
            self.raised = self.raised or str(error)
            raise


@dataclass(frozen=True)
class Judged:
    """Of `rows` of a table, those that the service would not ask for: `refused`, the first with its reason."""

    rows: int
    refused: int
    refusal: str
    sound: np.ndarray
    """Numbers of the others."""


class RecordedRows:
    """The inputs of a contract in a Parquet table. Times and severities play no part: each row is as if it came now.

    Raises `Failed` where the table cannot be read.
    """

    def __init__(self, contract: Contract, file: Path):
        self._contract, self._file = contract, file
        self._signals = contract.signals.inputs
        self._read = [signal for signal in self._signals if signal.source != "constant"]
        self._wirings: dict[int, Wiring] = {}

    def judge(self) -> Judged:
        """Each row, by its inputs."""
        sound, refused, refusal, first = [], 0, "", 0
        for batch in self._batches():
            rows = self._assembled(batch)
            for number, problem in enumerate(rows.problems):
                if problem:
                    refused, refusal = refused + 1, refusal or f"row {first + number}: {problem.message}"
            sound.append(rows.sound + first)
            first += len(rows.names)
        return Judged(first, refused, refusal, np.concatenate(sound) if sound else np.zeros(0, int))

    def not_shown(self, judged: Judged, scores: Mapping[str, np.ndarray]) -> str:
        """The first row that the service would ask for and whose answer it would not show, or that it would ask for
        none; empty where all is well. `scores` are the answers to all rows: output -> (rows, *shape).
        """
        if judged.rows and not judged.sound.size:
            return f"a service would not ask the model for any of these rows: {judged.refusal}"
        for output in self._contract.signals.outputs:
            answers = scores.get(output.name)
            if answers is None or answers.shape != (judged.rows, *output.shape):
                continue  # MDL003 says so
            if found := first_problem(output, answers, judged.sound):
                return _in_service(found[0], found[1].message)
        return ""

    def differently_served(
        self, judged: Judged, scores: Mapping[str, np.ndarray], model: Model, devices: int = 1
    ) -> str:
        """What is wrong with what the service would show of `model`, in batches of `devices` rows, or how far that is
        from the scores of the row; empty where nothing is. Rows are from the whole table.

        Each batch is a cycle of the service's loop, as in a replay; its rows came just now, as a table has no ages.
        """
        began = time.monotonic()
        chosen = self._chosen(judged.sound, devices)
        where = f"WHERE file_row_number IN ({', '.join(map(str, chosen))})"
        batches = self._batches(where, at_once=devices) if chosen else ()
        loops, listened = dict[int, Loop](), _Listened(model)
        for asked, batch in enumerate(batches):
            if asked >= FEWEST_BATCHES and time.monotonic() - began > SECONDS:
                break
            numbers = chosen[asked * devices : (asked + 1) * devices]
            if len(numbers) not in loops:  # the last may be fewer
                loops[len(numbers)] = self._loop(len(numbers), listened)
            loop = loops[len(numbers)]
            self._put(batch, loop.latest, float(asked))
            loop.cycle(float(asked))
            if loop.failure:
                return f"asked for row {numbers[0]}, {loop.failure}"
            if wrong := self._wrong(loop.shown(), numbers, scores):
                return wrong
            if listened.raised:
                at_once = f"asked for {len(numbers)} rows at once, from row {numbers[0]} on"
                return f"{at_once}, {listened.raised}; asked for fewer at a time, it answers"
        return ""

    def _wrong(self, shown: Mapping[str, Value], numbers: list[int], scores: Mapping[str, np.ndarray]) -> str:
        outputs, served = self._contract.signals.outputs, {}
        for output, plug in zip(outputs, self._wired(len(numbers)).outputs, strict=True):
            values = [shown[pv] for pv in plug.pvs]
            for row, value in zip(numbers, values, strict=True):
                if value.origin != "model":
                    return _in_service(row, value.message)
            served[output.name] = np.stack([np.asarray(value.value) for value in values])
        difference = differing_scores(scores, served, numbers, outputs)
        return f"{difference.describe('as scored', 'as served')}, {difference.allowed} allowed" if difference else ""

    def _loop(self, count: int, model: Model) -> Loop:
        """Of the service, for so many rows; what is no answer is shown as such, whatever stands in for it."""
        contract = self._contract.model_copy(update={"fallback": Fallback(on_invalid="invalid")})
        return Loop(contract, self._wired(count), model, Standing(0, ""), lambda _: None)

    def _put(self, batch: Readings, latest: Latest, at: float) -> None:
        """As samples that come now."""
        latest.clock = lambda: at
        for place, signal in enumerate(self._read):
            number, count = self._signals.index(signal), len(batch.lowest) // len(self._read)
            scalars = batch.lowest[place * count : (place + 1) * count].tolist()
            for row, value in enumerate(batch.arrays[number] if signal.shape else scalars):
                word = word_of(value, signal.words) if signal.words else None
                latest.put(number, row, value if word is None else word, at, 0)

    def _chosen(self, sound: np.ndarray, devices: int) -> list[int]:
        """Numbers of rows that are evenly spread."""
        size = sum(math.prod(signal.shape) for signal in self._read)
        most = max(FEWEST_BATCHES * devices, min(MOST_BATCHES * devices, MOST_NUMBERS // max(size, 1)))
        places = np.linspace(0, len(sound) - 1, min(len(sound), most)).round().astype(int)
        return sound[np.unique(places)].tolist()

    def _assembled(self, batch: Readings) -> Rows:
        count = len(batch.lowest) // max(len(self._read), 1)
        return assemble(self._wired(count), batch, self._contract.serving, now=0.0)

    def _wired(self, count: int) -> Wiring:
        if count not in self._wirings:
            self._wirings[count] = self._wiring(count)
        return self._wirings[count]

    def _wiring(self, count: int) -> Wiring:
        """Of rows that have each input for themselves, under its name, and each output."""
        own, none = tuple(range(count)), (0,) * count
        wires = tuple(
            Wire(signal, (signal.name,) * count, own) if signal in self._read else Wire(signal, (), none)
            for signal in self._signals
        )
        names = tuple(map(str, own))
        plugs = (
            Plug(output, tuple(f"{output.name} {name}" for name in names)) for output in self._contract.signals.outputs
        )
        return Wiring(names, wires, tuple(plugs), Devices((), ()))

    def _batches(self, where: str = "", at_once: int = 0) -> Iterator[Readings]:
        """The rows in their order, so many at once; without a number, they have the lowest and highest of each array,
        and not the others.
        """
        size = sum(math.prod(signal.shape) for signal in self._read)
        whole, at_once = bool(at_once), at_once or max(1, min(AT_ONCE, NUMBERS_AT_ONCE // max(size, 1)))
        columns = [part for signal in self._read for part in self._columns(signal.name, signal.shape, whole)]
        sql = f"SELECT {', '.join(columns)} FROM {parquet(self._file, numbered=True)} {where} ORDER BY file_row_number"
        connection = connect()
        try:
            found = _run(connection, sql, self._file)
            while rows := found.fetchmany(at_once):
                yield self._readings(list(zip(*rows, strict=True)), len(rows))
        finally:
            connection.close()

    def _columns(self, name: str, shape: tuple[int, ...], whole: bool) -> list[str]:
        """SQL of the lowest and the highest number of an input, how many it has, and all of them."""
        depth = self._depths[name]
        column = quoted(name)
        if depth is None or bool(depth) != bool(shape):
            return ["NULL", "NULL", "-1", "NULL"]
        if not depth:
            return [f"CAST({column} AS DOUBLE)"] * 2 + ["1", "NULL"]
        numbers = f"CAST({flattened(column, depth)} AS DOUBLE[])"
        complete = f"list_count({numbers}) = len({numbers})"  # a null is no number
        ends = [f"CASE WHEN {complete} THEN list_{end}({numbers}) END" for end in ("min", "max")]
        return [*ends, f"coalesce(len({numbers}), 0)", numbers if whole else "NULL"]

    def _readings(self, columns: Sequence[Sequence[Any]], count: int) -> Readings:
        lowest, highest, faults, messages, arrays = [], [], [], [], {}
        for place, signal in enumerate(self._read):
            low, high, lengths, values = columns[4 * place : 4 * place + 4]
            lowest.append(np.array(low, float))
            highest.append(np.array(high, float))
            expected = math.prod(signal.shape)
            right = np.array(lengths) == expected
            faults.append(np.where(right, Fault.NONE, Fault.WRONG_SHAPE))
            messages += [
                "" if sound else f"something else than {shape_in_words(signal.shape)}" for sound in right.tolist()
            ]
            if signal.shape:
                number = self._signals.index(signal)
                plain = np.array(values, float) if values[0] is not None else np.broadcast_to(np.nan, (count, expected))
                arrays[number] = plain.reshape(count, *signal.shape)
        places = count * len(self._read)
        return Readings(
            lowest=np.concatenate(lowest),
            highest=np.concatenate(highest),
            time=np.zeros(places),
            arrived=np.zeros(places),
            severity=np.zeros(places, np.int8),
            fault=np.concatenate(faults),
            count=np.ones(places, np.int64),
            messages=tuple(messages),
            arrays=arrays,
        )

    @cached_property
    def _depths(self) -> dict[str, int | None]:
        """Of each input's column: 0 for numbers, 1 for lists of numbers; None for what is no number."""
        connection = connect()
        try:
            described = _run(connection, f"DESCRIBE SELECT * FROM {parquet(self._file)}", self._file).fetchall()
        finally:
            connection.close()
        kinds = {name: kind for name, kind, *_ in described}
        if missing := [signal.name for signal in self._read if signal.name not in kinds]:
            raise Failed(f"there is no column {missing[0]!r}", file=self._file)
        return {signal.name: depth_of(kinds[signal.name]) for signal in self._read}


def _in_service(row: int, why: str) -> str:
    return f"row {row} would be INVALID in service: {why}"


def _run(connection: Any, sql: str, file: Path) -> Any:
    import duckdb

    try:
        return connection.execute(sql)
    except duckdb.Error as error:
        raise Failed(f"cannot be read: {str(error).splitlines()[0]}", file=file) from None
