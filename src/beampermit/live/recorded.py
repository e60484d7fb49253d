"""The rows of a table as the service would judge them: which it would ask its model for, and what it would show."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from beampermit.contract import Contract
from beampermit.contract.service import Fallback
from beampermit.contract.signals import Signal
from beampermit.datasets.arrays import depth_of, flattened
from beampermit.datasets.devices import Devices
from beampermit.datasets.tables import connect, parquet, quoted
from beampermit.errors import Failed
from beampermit.live.answers import first_problem
from beampermit.live.latest import Fault, Readings
from beampermit.live.log.columns import AT, ROW
from beampermit.live.loop import Loop, Standing
from beampermit.live.replay.moments import Recorded
from beampermit.live.replay.replay import replay
from beampermit.live.rows import Rows, assemble
from beampermit.live.sharing import Model, ModelError, Raised
from beampermit.live.update import Value
from beampermit.live.wiring import Plug, Wire, Wiring
from beampermit.models.replay import differing_scores
from beampermit.models.score_table import shape_in_words

AT_ONCE, NUMBERS_AT_ONCE = 1024, 4_000_000
"""Rows in memory, and numbers of their inputs."""
MOST_BATCHES, FEWEST_BATCHES = 100, 5
MOST_NUMBERS = 20_000_000
"""Of all inputs of the rows that are asked for, beyond the fewest batches."""
SECONDS = 5.0
"""For the batches beyond the fewest."""
WITHOUT_MODEL = 1, 2_000_000
"""The fewest batches and the most numbers where no model answers: they are read within a second."""
AGAIN = 3
"""Times that a model is asked for all devices before it is said to be too slow."""
NUMBER = Signal(name="file_row_number", pv="file_row_number", unit="1", range=(0, 2.0**53))
"""One more input: which row of the table it is."""


@dataclass
class _Answers:
    """Those of `model`, or without one the `scores` of the rows that it would be asked for."""

    model: Model | None
    scores: Mapping[str, np.ndarray]
    devices: int
    raised: str = ""
    """Why the model raised first: a loop asks on in parts, and nobody sees what that costs each time."""
    asked: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What the model was asked last."""
    fastest: float = math.inf
    """Seconds of its fastest answer for all devices."""
    restarts: int = 0

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.model is None:
            numbers = inputs[NUMBER.name].astype(int)
            return {name: values[numbers] for name, values in self.scores.items()}
        self.asked = {name: values for name, values in inputs.items() if name != NUMBER.name}
        try:
            return self._timed(self.model)
        except Raised as error:
            self.raised = self.raised or str(error)
            raise

    def too_slow(self, timeout: float) -> str:
        """How long the model takes for all devices, where a service would wait for none of its answers.

        One late answer may be this machine's, so it is asked again; where the table has fewer rows, for some twice.
        """
        if self.model is None or not self.asked:
            return ""
        rows, again = np.arange(self.devices), AGAIN
        self.asked = {name: np.take(values, rows, axis=0, mode="wrap") for name, values in self.asked.items()}
        at_once = f"asked for {self.devices} rows at once" if self.devices > 1 else "asked for one row"
        while self.fastest > timeout and again:
            again -= 1
            try:
                self._timed(self.model)
            except ModelError as error:
                return f"{at_once}, {error}"
        if self.fastest <= timeout:
            return ""
        return f"{at_once}, the model takes {self.fastest:.2g} s, and serving.timeout allows {timeout:g} s"

    def _timed(self, model: Model) -> dict[str, np.ndarray]:
        began = time.monotonic()
        answers = model.ask(self.asked)
        if len(next(iter(self.asked.values()))) == self.devices:
            self.fastest = min(self.fastest, time.monotonic() - began)
        return answers


@dataclass(frozen=True)
class _Served:
    """What outputs showed of rows."""

    wiring: Wiring
    numbers: list[int] = field(default_factory=list)
    values: dict[str, list[float | np.ndarray]] = field(default_factory=dict)

    def take(self, numbers: list[int], shown: Mapping[str, Value]) -> str:
        """Rows with these numbers, one a device; the first for which no answer is shown, and why."""
        for plug in self.wiring.outputs:
            values = [shown[pv] for pv in plug.pvs[: len(numbers)]]
            for number, value in zip(numbers, values, strict=True):
                if value.origin != "model":
                    return _in_service(number, value.message)
            self.values.setdefault(plug.signal.name, []).extend(value.value for value in values)
        self.numbers.extend(numbers)
        return ""

    def differently(self, scores: Mapping[str, np.ndarray]) -> str:
        """Where that is farther than allowed from the scores of all rows of the table."""
        if not self.numbers:
            return ""
        served = {name: np.array(values) for name, values in self.values.items()}
        outputs = [plug.signal for plug in self.wiring.outputs]
        difference = differing_scores(scores, served, self.numbers, outputs)
        return f"{difference.describe('as scored', 'as served')}, {difference.allowed} allowed" if difference else ""


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
        self._signals = (*contract.signals.inputs, NUMBER)
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
        self, judged: Judged, scores: Mapping[str, np.ndarray], model: Model | None = None, devices: int = 1
    ) -> str:
        """What is wrong with what the service would show of `model`, or how far that is from the scores of the row;
        empty where nothing is. Without a model, the scores are its answers.

        Rows of the whole table are replayed, at each moment as many as there are `devices`.
        """
        began, fewest, most = time.monotonic(), *((FEWEST_BATCHES, MOST_NUMBERS) if model else WITHOUT_MODEL)
        chosen = self._chosen(judged.sound, devices, fewest, most)
        batches = [chosen[first : first + devices] for first in range(0, len(chosen), devices)]
        wiring, answers = self._wired(devices), _Answers(model, scores, devices)
        loop, shown, served = self._loop(wiring, answers), dict[str, Value](), _Served(wiring)
        with closing(connect()) as connection:
            moments = self._recorded(connection, chosen, wiring).moments()
            for numbers, update in zip(batches, replay(loop, moments), strict=True):
                shown |= update.values
                if loop.failure:
                    return f"asked for row {numbers[0]}, {loop.failure}"
                if hidden := served.take(numbers, shown):
                    return hidden
                if answers.raised:
                    at_once = f"asked for {len(numbers)} rows at once, from row {numbers[0]} on"
                    return f"{at_once}, {answers.raised}; asked for fewer at a time, it answers"
                if len(served.numbers) >= fewest * devices and time.monotonic() - began > SECONDS:
                    break
        return answers.too_slow(self._contract.serving.timeout) or served.differently(scores)

    def _loop(self, wiring: Wiring, model: Model) -> Loop:
        """Of the service; what is no answer is shown as such, whatever stands in for it."""
        contract = self._contract.model_copy(update={"fallback": Fallback(on_invalid="invalid")})
        return Loop(contract, wiring, model, Standing(0, ""), lambda _: None)

    def _recorded(self, connection: Any, chosen: list[int], wiring: Wiring) -> Recorded:
        """These rows as a table with times: each batch comes a microsecond after the one before, so that nothing is
        ever old.
        """
        place, devices = "row_number() OVER (ORDER BY file_row_number) - 1", len(wiring.rows)
        columns = [f"make_timestamp(({place}) // {devices}) AS {quoted(AT)}", f"({place}) % {devices} AS {quoted(ROW)}"]
        columns += [f"{self._numbers(signal.name)} AS {quoted(signal.name)}" for signal in self._read]
        among = ", ".join(map(str, chosen or [-1]))
        rows = f"{parquet(self._file, numbered=True)} WHERE file_row_number IN ({among})"
        names = {AT: "TIMESTAMP", ROW: "BIGINT", **{signal.name: "DOUBLE" for signal in self._read}}
        source = f"(SELECT {', '.join(columns)} FROM {rows})"
        return Recorded(source, names, AT, AT, None, connection, wiring, self._file, ())

    def _chosen(self, sound: np.ndarray, devices: int, fewest: int, most: int) -> list[int]:
        """Numbers of rows that are evenly spread: `fewest` batches, and more while they have not the `most` numbers."""
        most = max(fewest * devices, min(MOST_BATCHES * devices, most // self._size))
        places = np.linspace(0, len(sound) - 1, min(len(sound), most)).round().astype(int)
        return sound[np.unique(places)].tolist()

    def _assembled(self, batch: Readings) -> Rows:
        count = len(batch.lowest) // len(self._read)
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
        return Wiring(names, wires, tuple(plugs), Devices((ROW,), tuple((name,) for name in names)))

    def _batches(self) -> Iterator[Readings]:
        """The rows in their order, with the lowest and highest of each array."""
        at_once = max(1, min(AT_ONCE, NUMBERS_AT_ONCE // self._size))
        columns = [part for signal in self._read for part in self._columns(signal)]
        sql = f"SELECT {', '.join(columns)} FROM {parquet(self._file, numbered=True)} ORDER BY file_row_number"
        with closing(connect()) as connection:
            found = _run(connection, sql, self._file)
            while rows := found.fetchmany(at_once):
                yield self._readings(list(zip(*rows, strict=True)), len(rows))

    def _columns(self, signal: Signal) -> list[str]:
        """SQL of the lowest and the highest number of an input, and how many it has."""
        depth = self._depths[signal.name]
        if depth is None or bool(depth) != bool(signal.shape):
            return ["NULL", "NULL", "-1"]
        numbers = self._numbers(signal.name)
        if not depth:
            part_of_one = f"coalesce({numbers} <> trunc({numbers}), false)" if signal.words else "false"
            return [numbers, numbers, f"CASE WHEN {part_of_one} THEN 0 ELSE 1 END"]
        complete = f"list_count({numbers}) = len({numbers})"  # a null is no number
        ends = [f"CASE WHEN {complete} THEN list_{end}({numbers}) END" for end in ("min", "max")]
        return [*ends, f"coalesce(len({numbers}), 0)"]

    def _numbers(self, name: str) -> str:
        """SQL of the number of an input, or of all its numbers in a list."""
        depth = self._depths[name] or 0
        return f"CAST({flattened(quoted(name), depth)} AS DOUBLE{'[]' if depth else ''})"

    @property
    def _size(self) -> int:
        """Numbers of the inputs of a row."""
        return sum(math.prod(signal.shape) for signal in self._read)

    def _readings(self, columns: Sequence[Sequence[Any]], count: int) -> Readings:
        lowest, highest, faults, messages = [], [], [], []
        for place, signal in enumerate(self._read):
            low, high, lengths = columns[3 * place : 3 * place + 3]
            lowest.append(np.array(low, float))
            highest.append(np.array(high, float))
            right = np.array(lengths) == math.prod(signal.shape)
            faults.append(np.where(right, Fault.NONE, Fault.WRONG_SHAPE))
            expected = "the number of a word" if signal.words else shape_in_words(signal.shape)
            messages += ["" if sound else f"something else than {expected}" for sound in right.tolist()]
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
            arrays={
                number: np.broadcast_to(np.nan, (count, *signal.shape))
                for number, signal in enumerate(self._signals)
                if signal.shape
            },
        )

    @cached_property
    def _depths(self) -> dict[str, int | None]:
        """Of each input's column: 0 for numbers, 1 for lists of numbers; None for what is no number."""
        sql = f"DESCRIBE SELECT * FROM {parquet(self._file, numbered=True)}"
        with closing(connect()) as connection:
            described = _run(connection, sql, self._file).fetchall()
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
