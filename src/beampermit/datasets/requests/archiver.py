"""The EPICS Archiver Appliance over HTTP: pieces of each PV are fetched a few at once, and kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from beampermit.contract import FILE_NAME
from beampermit.contract.part import Seconds
from beampermit.datasets.requests.gaps import moment
from beampermit.datasets.requests.source import Asked, Options, Sampled, Wanted, options_of, same
from beampermit.datasets.requests.store import Store, connect
from beampermit.datasets.tables import literal, text
from beampermit.errors import BadInput, Failed, Outside
from beampermit.progress import Progress

SAMPLE = (
    "STRUCT(secs BIGINT, nanos BIGINT, val {kind}, severity INTEGER, status INTEGER,"
    " fields STRUCT(cnxlostepsecs VARCHAR))[]"
)
SAMPLES = "(SELECT unnest(data, max_depth := 2), unnest(range(len(data))) AS arrived FROM answer)"
FARTHEST = 2**33
"""Seconds since 1970 that fit into nanoseconds."""


class Garbled(Exception):
    """Not an answer: cut off, or not the JSON of an archiver. May be whole when it is asked for again."""


def read(connection: Any, file: Path, wanted: Wanted) -> str:
    """SQL of the samples in an answer: ns, value, severity, arrived, lost.

    Raises `BadInput` for a PV the archiver does not know, `Failed` for another unit or kind of value, `Garbled`.
    """
    if not file.stat().st_size:
        raise Garbled("the answer is empty")
    _parse(connection, file, wanted)
    units = _ask(connection, "SELECT unit FROM answer")
    if not units:
        raise BadInput(
            f"the archiver does not know the PV {wanted.pv!r}",
            file=FILE_NAME,
            hint="fix the name in contract.yaml, or have the PV archived",
        )
    if len(units) > 1:
        raise Garbled(f"the answer is about {len(units)} PVs")
    unit = units[0][0]
    if unit and not same(unit, wanted.signal.unit or "1"):
        raise Failed(f"{wanted.pv} is archived in {unit}, the contract says {wanted.signal.unit}", file=FILE_NAME)
    (timeless,) = _ask(
        connection,
        f"SELECT count(*) FILTER (coalesce(secs NOT BETWEEN 0 AND {FARTHEST}, true)"
        f" OR coalesce(nanos NOT BETWEEN 0 AND 999999999, false)) FROM {SAMPLES}",
    )[0]
    if timeless:
        raise Garbled(f"{timeless} samples have no time")
    lost = "TRY_CAST(trunc(TRY_CAST(fields.cnxlostepsecs AS DOUBLE)) AS BIGINT)"
    return (
        "SELECT secs * 1000000000 + coalesce(nanos, 0) AS ns, val AS value, severity, arrived,"
        f" CASE WHEN {lost} BETWEEN 1 AND secs THEN {lost} * 1000000000 END AS lost FROM {SAMPLES}"
    )


def _parse(connection: Any, file: Path, wanted: Wanted) -> None:
    """Make the table `answer` of the connection: a row for each PV, its unit and its samples."""
    kind = "DOUBLE[]" if wanted.size else "DOUBLE"
    try:
        _ask(
            connection,
            "CREATE OR REPLACE TEMP TABLE answer AS SELECT meta->>'EGU' AS unit, data FROM "
            + _json(file, f"{{meta: 'JSON', data: '{SAMPLE.format(kind=kind)}'}}"),
        )
    except Garbled:
        what = "lists" if wanted.size else "numbers"
        kinds = _kinds(connection, file)
        if kinds is None or kinds == what:
            raise
        raise Failed(f"the values of {wanted.pv} are {kinds}, not {what}", file=FILE_NAME) from None


def _kinds(connection: Any, file: Path) -> str | None:
    """What the values are, of an answer that has the form of one."""
    source = _json(file, "{data: 'STRUCT(secs BIGINT, nanos BIGINT, val JSON)[]'}")
    try:
        rows = _ask(
            connection, f"SELECT DISTINCT json_type(sample.val) FROM (SELECT unnest(data) AS sample FROM {source})"
        )
    except Garbled:
        return None
    kinds = {kind for (kind,) in rows} - {"NULL", None}
    if kinds & {"VARCHAR", "OBJECT", "BOOLEAN"}:
        return "text" if kinds == {"VARCHAR"} else "of several kinds"
    return "lists" if kinds == {"ARRAY"} else "of several kinds" if "ARRAY" in kinds else "numbers"


def _json(file: Path, columns: str) -> str:
    name = text(literal(str(file)))
    # The parser makes room for two of the largest object at once, so it is told how large this one is.
    largest = max(2**20, file.stat().st_size)
    return f"read_json({name}, format = 'array', maximum_object_size = {largest}, columns = {columns})"


def _ask(connection: Any, sql: str) -> list[Any]:
    import duckdb

    try:
        return connection.execute(sql).fetchall()
    except duckdb.OutOfMemoryException:
        raise BadInput(
            "the archiver's answer does not fit into memory",
            file=FILE_NAME,
            hint="make dataset.request.options.piece shorter",
        ) from None
    except duckdb.Error as error:
        words = str(error).splitlines()[0].split(" in file ")[0]
        raise Garbled(f"the answer is not an archiver's JSON ({words})") from None


PATH = "/retrieval/data/getData.json"
LARGEST = 96 * 2**20
"""Bytes of one answer; a PV that has more in a piece wants shorter pieces."""
PARSED_AT_ONCE = 2
"""Answers in memory at once."""
BUSY = {429, 500, 502, 503, 504}


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("this is no address such as http://archiver.lab.example:17668")
    if parts.username or parts.password:
        raise ValueError("an address in a contract has no password in it")
    if parts.query or parts.fragment:
        raise ValueError(f"the address ends before {PATH}")
    return value.rstrip("/").removesuffix(PATH)


class ArchiverOptions(Options):
    """`dataset.request.options` of the source `archiver`."""

    url: Annotated[str, AfterValidator(_address)]
    """Of the appliance, up to `/retrieval`."""
    piece: Seconds = 86400.0
    """Time that is asked for at once."""
    at_once: Annotated[int, Field(ge=1, le=32)] = 4
    """Questions under way at once."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds without a byte after which an answer is given up."""
    longest: Annotated[float, Field(gt=0)] = 600.0
    """Seconds that one answer may take."""
    tries: Annotated[int, Field(ge=1, le=20)] = 5
    """How often a question is asked before the archiver is called down."""
    backoff: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Seconds before the second try; doubled, and scattered, for each further one."""


@dataclass(frozen=True)
class _Piece:
    wanted: Wanted
    span: tuple[int, int]
    first: bool


class _Busy(Exception):
    """The archiver may answer when it is asked again."""


class _Stopped(Exception):
    """Another piece has failed for good."""


class Archiver(Sampled):
    """PVs by name, from the appliance at `options.url`."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self.options = options_of(ArchiverOptions, asked)

    def collect(self, store: Store, progress: Progress) -> dict[str, Any]:
        """Fetch what is not kept yet. Raises `Outside` (down), `BadInput` (unknown PV), `Failed` (wrong data)."""
        pieces = list(self._pieces())
        missing = [piece for piece in pieces if not store.piece(piece.wanted.pv, piece.span[0]).exists()]
        done = len(pieces) - len(missing)
        progress("fetch", done, len(pieces))
        with _Fetcher(self.options, store) as fetcher, ThreadPoolExecutor(self.options.at_once) as pool:
            futures = {pool.submit(fetcher.fetch, piece) for piece in missing}
            try:
                while futures:
                    ended, futures = wait(futures, timeout=1.0, return_when=FIRST_EXCEPTION)
                    for future in ended:
                        future.result()
                    done += len(ended)
                    progress("fetch", done, len(pieces))
            finally:
                fetcher.stopped = True
                pool.shutdown(wait=True, cancel_futures=True)
        return {"url": self.options.url}

    def _pieces(self) -> Iterator[_Piece]:
        length = max(1, round(self.options.piece * 1e9))
        for start, end in self.asked.ranges:
            for begin in range(start, end, length):
                for wanted in self.asked.wanted:
                    yield _Piece(wanted, (begin, min(end, begin + length)), begin == start)


class _Fetcher:
    """One HTTP client and one database for all threads. Raises `Outside` once an archiver has failed often enough."""

    def __init__(self, options: ArchiverOptions, store: Store):
        import httpx

        self._options = options
        self._store = store
        self._database = connect(store.folder)
        self._client = httpx.Client(
            timeout=options.timeout,
            follow_redirects=True,
            limits=httpx.Limits(max_connections=options.at_once),
            headers={"Accept": "application/json"},
        )
        self._parsing = BoundedSemaphore(PARSED_AT_ONCE)
        self.stopped = False

    def __enter__(self) -> _Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._database.close()

    def fetch(self, piece: _Piece) -> None:
        """Ask for one piece until it is there, and keep it; nothing once another piece has failed."""
        try:
            self._insist(piece)
        except _Stopped:
            return
        except BaseException:
            self.stopped = True
            raise

    def _insist(self, piece: _Piece) -> None:
        import httpx
        from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        retrying = Retrying(
            stop=stop_after_attempt(self._options.tries),
            wait=wait_random_exponential(multiplier=self._options.backoff, max=60),
            retry=retry_if_exception_type((_Busy, httpx.TransportError)),
            sleep=self._sleep,
        )
        try:
            retrying(self._try, piece)
        except RetryError as error:
            why = error.last_attempt.exception()
            words = " ".join(str(why).split()) or type(why).__name__
            raise Outside(
                f"the archiver at {self._options.url} does not answer about {piece.wanted.pv}: {words}"
                f" ({self._options.tries} tries)",
                hint="beampermit data request goes on where it stopped",
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Outside(f"the archiver at {self._options.url} cannot be asked: {error}") from None

    def _sleep(self, seconds: float) -> None:
        """Wait, but not on after another piece has failed for good."""
        until = time.monotonic() + seconds
        while not self.stopped and time.monotonic() < until:
            time.sleep(min(0.1, seconds))

    def _try(self, piece: _Piece) -> None:
        if self.stopped:
            raise _Stopped
        name = self._store.piece(piece.wanted.pv, piece.span[0])
        spool = name.with_suffix(".json")
        try:
            self._download(piece, spool)
            # A cursor is a connection of this thread's own.
            with self._parsing, self._database.cursor() as cursor:
                answer = read(cursor, spool, piece.wanted)
                self._store.put(cursor, answer, piece.wanted.pv, piece.span, first=piece.first)
        except Garbled as error:
            raise _Busy(str(error)) from None
        finally:
            spool.unlink(missing_ok=True)

    def _download(self, piece: _Piece, spool: Path) -> None:
        start, end = piece.span
        question = {"pv": piece.wanted.pv, "from": moment(start), "to": moment(end)}
        began, size = time.monotonic(), 0
        with (
            self._client.stream("GET", self._options.url + PATH, params=question) as response,
            spool.open("wb") as file,
        ):
            self._judge(response, piece)
            for block in response.iter_bytes():
                size += len(block)
                if size > LARGEST:
                    raise Outside(
                        f"the archiver's answer about {piece.wanted.pv} is larger than {LARGEST >> 20} MiB",
                        file=FILE_NAME,
                        hint="make dataset.request.options.piece shorter",
                    )
                if self.stopped:
                    raise _Stopped
                if time.monotonic() - began > self._options.longest:
                    raise _Busy(f"an answer took longer than {self._options.longest:g} s")
                file.write(block)

    def _judge(self, response: Any, piece: _Piece) -> None:
        status = response.status_code
        if status in BUSY:
            raise _Busy(f"status {status}")
        if status == 404:
            raise BadInput(
                f"{self._options.url} answers 404 about {piece.wanted.pv}: the archiver does not know this PV,"
                " or there is no archiver at this address",
                file=FILE_NAME,
            )
        if status != 200:
            raise Outside(
                f"the archiver at {self._options.url} answers with status {status} about {piece.wanted.pv}",
                hint="look at dataset.request.options.url",
            )
