"""Truth PVs as the EPICS Archiver Appliance has them: for a monitor that was not there, or that is asked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic import ValidationError

from beampermit.contract import Contract
from beampermit.contract.request import Gaps, Range, Request, RequestedSignal, Sampling
from beampermit.contract.signals import PROTOCOL
from beampermit.datasets.requests.archiver import Archiver, ArchiverOptions
from beampermit.datasets.requests.query import Query
from beampermit.datasets.requests.store import Store, connect
from beampermit.errors import BadInput
from beampermit.live.severity import Severity
from beampermit.monitoring.truth_pvs import Samples, TruthPv
from beampermit.reading import first_fault

PATIENCE = {"tries": 2, "timeout": 10.0, "longest": 60.0}
"""The next window asks again."""


class TruthArchive:
    """Raises `BadInput` for an address that is none."""

    def __init__(self, address: str):
        try:
            self._options = ArchiverOptions.model_validate({"url": address, **PATIENCE})
        except ValidationError as error:
            raise BadInput(f"--truth archiver:{address}: {first_fault(error)}") from None
        self._pvs: tuple[TruthPv, ...] = ()
        self._worst = Severity.MAJOR

    def follow(self, pvs: Sequence[TruthPv], contract: Contract) -> None:
        """Raises `BadInput` for a column of a table, which no archiver has."""
        if told := next((one.pv for one in pvs if "#" in one.pv), None):
            raise BadInput(f"{told} is a column of a table, which no archiver has")
        self._pvs, self._worst = tuple(pvs), Severity[contract.serving.worst]

    def read(self, since: float, until: float) -> Mapping[str, Samples]:
        """Raises `Outside` where the archiver does not answer, `BadInput` for a PV that it does not know."""
        if not self._pvs:
            return {}
        with TemporaryDirectory(prefix="beampermit-truth-") as folder:
            store, query = Store(Path(folder)), self._query(since, until, Path(folder))
            Archiver(query).collect(store, lambda *_: None)
            connection = connect(Path(folder))
            try:
                return {pv.pv: self._samples(connection, store, pv) for pv in self._pvs}
            finally:
                connection.close()

    def note(self, pvs: Sequence[TruthPv]) -> str:  # noqa: ARG002 - as sources have it
        return ""

    def faults(self) -> list[str]:
        return []

    def close(self) -> None: ...

    def _query(self, since: float, until: float, folder: Path) -> Query:
        signals = {_name(one): one.output for one in self._pvs}
        asked = tuple(
            RequestedSignal(name=f"p{number}", pv=pv, unit=of.unit, range=of.range, shape=of.shape)
            for number, (pv, of) in enumerate(signals.items())
        )
        request = Request(
            source="archiver",
            options=self._options.model_dump(),
            signals=asked,
            ranges=(Range(start=_utc(since), end=_utc(until)),),
            sampling=Sampling(period=1.0),
            gaps=Gaps(max_age=1.0),
        )
        return Query(
            root=folder,
            request=request,
            signals=request.signals,
            time="time",
            key=(),
            raw="",
            columns=(),
            devices=((),),
            folder=folder,
            run_python=_no_python,
        )

    def _samples(self, connection: Any, store: Store, pv: TruthPv) -> Samples:
        found = connection.execute(
            f"SELECT ns / 1e9 AS time, value FROM {store.source(_name(pv))}"
            f" WHERE place = 'inside' AND severity <= {int(self._worst)} AND value IS NOT NULL ORDER BY ns, arrived"
        ).fetchnumpy()
        values = [np.ravel(np.asarray(one, float)) for one in found["value"]]
        size = int(np.prod(pv.output.shape))
        whole = np.array([len(one) == size for one in values], bool)
        kept = [one for one in values if len(one) == size]
        return Samples(np.asarray(found["time"], float)[whole], np.stack(kept) if kept else np.zeros((0, size)))


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _name(pv: TruthPv) -> str:
    return PROTOCOL.sub("", pv.pv, count=1)


def _no_python(*_: object) -> Any:
    raise AssertionError("an archiver runs no Python of a project")
