"""The source `archiver`: an EPICS Archiver Appliance, asked over HTTP for pieces of each PV, which are stored."""

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
from beampermit.datasets.requests import word_columns
from beampermit.datasets.requests.gaps import iso_time
from beampermit.datasets.requests.query import Channel, Query
from beampermit.datasets.requests.source import Options, SampledSource, load_options, same_unit
from beampermit.datasets.requests.store import Store, connect
from beampermit.datasets.tables import sql_path
from beampermit.errors import BadInput, Failed, Outside
from beampermit.progress import Progress

SAMPLE = (
    "STRUCT(secs BIGINT, nanos BIGINT, val {kind}, severity INTEGER, status INTEGER,"
    " fields STRUCT(cnxlostepsecs VARCHAR))[]"
)
SAMPLES = "(SELECT unnest(data, max_depth := 2), unnest(range(len(data))) AS arrived FROM answer)"
FARTHEST = 2**33
"""Seconds since 1970 that fit into nanoseconds."""


class InvalidAnswer(Exception):
    """Truncated, or not the JSON of an archiver; a retry may succeed."""


def read_answer(connection: Any, file: Path, channel: Channel) -> str:
    """SQL of the samples in an answer: ns, value, severity, arrived, lost.

    Raises `BadInput` for an unknown PV, `Failed` for another unit or type than the contract's, `InvalidAnswer`.
    """
    if not file.stat().st_size:
        raise InvalidAnswer("the answer is empty")
    _parse(connection, file, channel)
    units = _query(connection, "SELECT unit FROM answer")
    if not units:
        raise BadInput(
            f"the archiver does not know the PV {channel.pv!r}",
            file=FILE_NAME,
            hint="correct the name, or add the PV to the archiver",
        )
    if len(units) > 1:
        raise InvalidAnswer(f"the answer has {len(units)} PVs")
    unit = units[0][0]
    if unit and not channel.signal.words and not same_unit(unit, channel.signal.unit or "1"):
        raise Failed(f"{channel.pv} is archived in {unit}, the contract says {channel.signal.unit}", file=FILE_NAME)
    (timeless,) = _query(
        connection,
        f"SELECT count(*) FILTER (coalesce(secs NOT BETWEEN 0 AND {FARTHEST}, true)"
        f" OR coalesce(nanos NOT BETWEEN 0 AND 999999999, false)) FROM {SAMPLES}",
    )[0]
    if timeless:
        raise InvalidAnswer(f"{timeless} samples have no valid time")
    value = word_columns.labels("val", channel.signal.states) if channel.signal.words else "val"
    lost = "TRY_CAST(trunc(TRY_CAST(fields.cnxlostepsecs AS DOUBLE)) AS BIGINT)"
    return (
        f"SELECT secs * 1000000000 + coalesce(nanos, 0) AS ns, {value} AS value, severity, arrived,"
        f" CASE WHEN {lost} BETWEEN 1 AND secs THEN {lost} * 1000000000 END AS lost FROM {SAMPLES}"
    )


def _parse(connection: Any, file: Path, channel: Channel) -> None:
    """Create the table `answer`: a row for each PV, with its unit and samples."""
    if channel.signal.words:
        _require_words(_value_kinds(connection, file), channel)
    try:
        _query(
            connection,
            "CREATE OR REPLACE TEMP TABLE answer AS SELECT meta->>'EGU' AS unit, data FROM "
            + _read_json(file, f"{{meta: 'JSON', data: '{SAMPLE.format(kind=channel.sql_type)}'}}"),
        )
    except InvalidAnswer:
        expected = "lists" if channel.size else "numbers"
        kinds = _value_kinds(connection, file)
        if kinds is None or kinds == expected:
            raise
        raise Failed(f"the values of {channel.pv} are {kinds}, not {expected}", file=FILE_NAME) from None


def _require_words(kinds: str | None, channel: Channel) -> None:
    """An archiver has an enum as its number, and not what it stood for: that would be guessed."""
    if kinds not in ("text", "numbers", None):
        raise Failed(f"the values of {channel.pv} are {kinds}, not words", file=FILE_NAME)
    if kinds == "numbers" and not channel.signal.states:
        raise word_columns.numbers_without_states(f"the values of {channel.pv} are numbers")


def _value_kinds(connection: Any, file: Path) -> str | None:
    """The type of the values; None where there is none, or the answer has not an archiver's form."""
    source = _read_json(file, "{data: 'STRUCT(secs BIGINT, nanos BIGINT, val JSON)[]'}")
    try:
        rows = _query(
            connection, f"SELECT DISTINCT json_type(sample.val) FROM (SELECT unnest(data) AS sample FROM {source})"
        )
    except InvalidAnswer:
        return None
    kinds = {kind for (kind,) in rows} - {"NULL", None}
    if not kinds:
        return None
    if kinds & {"VARCHAR", "OBJECT", "BOOLEAN"}:
        return "text" if kinds == {"VARCHAR"} else "of several kinds"
    return "lists" if kinds == {"ARRAY"} else "of several kinds" if "ARRAY" in kinds else "numbers"


def _read_json(file: Path, columns: str) -> str:
    name = sql_path(file)
    # The parser allocates twice the largest object it may meet, so the limit is set to this file's size.
    largest = max(2**20, file.stat().st_size)
    return f"read_json({name}, format = 'array', maximum_object_size = {largest}, columns = {columns})"


def _query(connection: Any, sql: str) -> list[Any]:
    import duckdb

    try:
        return connection.execute(sql).fetchall()
    except duckdb.OutOfMemoryException:
        raise BadInput(
            "the archiver's answer does not fit into memory",
            file=FILE_NAME,
            hint="shorten dataset.request.options.piece",
        ) from None
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].split(" in file ")[0]
        raise InvalidAnswer(f"the answer is not an archiver's JSON ({reason})") from None


PATH = "/retrieval/data/getData.json"
LARGEST = 96 * 2**20
"""Bytes of one answer."""
PARSED_AT_ONCE = 2
"""Answers in memory at once."""
BUSY = {429, 500, 502, 503, 504}


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address such as http://archiver.lab.example:17668")
    if parts.username or parts.password:
        raise ValueError("an address in a contract must not contain a password")
    if parts.query or parts.fragment:
        raise ValueError(f"the address ends before {PATH}")
    return value.rstrip("/").removesuffix(PATH)


class ArchiverOptions(Options):
    """`dataset.request.options` of the source `archiver`."""

    url: Annotated[str, AfterValidator(_address)]
    """Of the appliance, up to `/retrieval`."""
    piece: Seconds = 86400.0
    """Time span of one HTTP request."""
    at_once: Annotated[int, Field(ge=1, le=32)] = 4
    """Concurrent HTTP requests."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds without a byte after which a request is given up."""
    longest: Annotated[float, Field(gt=0)] = 600.0
    """Seconds that one answer may take."""
    tries: Annotated[int, Field(ge=1, le=20)] = 5
    """Attempts for each piece."""
    backoff: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Seconds before the second attempt; doubled, with jitter, for each further one."""


@dataclass(frozen=True)
class _Piece:
    channel: Channel
    span: tuple[int, int]
    first: bool


class _Retry(Exception):
    """The attempt failed, another may succeed."""


class _Stopped(Exception):
    """Another piece has failed for good."""


class Archiver(SampledSource):
    """PVs by name, from the appliance at `options.url`."""

    def __init__(self, query: Query) -> None:
        super().__init__(query)
        self.options = load_options(ArchiverOptions, query)

    def collect(self, store: Store, progress: Progress) -> dict[str, Any]:
        """Fetch missing pieces. Raises `Outside` (down), `BadInput` (unknown PV), `Failed` (wrong data)."""
        pieces = list(self._pieces())
        missing = [piece for piece in pieces if not store.piece(piece.channel.pv, piece.span[0]).exists()]
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
        for start, end in self.query.ranges:
            for begin in range(start, end, length):
                for channel in self.query.channels:
                    yield _Piece(channel, (begin, min(end, begin + length)), begin == start)


class _Fetcher:
    """One HTTP client and one database for all threads."""

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
        """Fetch and store one piece, with retries; stop if another piece has failed. Raises `Outside`."""
        try:
            self._retry(piece)
        except _Stopped:
            return
        except BaseException:
            self.stopped = True
            raise

    def _retry(self, piece: _Piece) -> None:
        import httpx
        from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        retrying = Retrying(
            stop=stop_after_attempt(self._options.tries),
            wait=wait_random_exponential(multiplier=self._options.backoff, max=60),
            retry=retry_if_exception_type((_Retry, httpx.TransportError)),
            sleep=self._sleep,
        )
        try:
            retrying(self._try, piece)
        except RetryError as error:
            cause = error.last_attempt.exception()
            reason = " ".join(str(cause).split()) or type(cause).__name__
            raise Outside(
                f"the archiver at {self._options.url} does not return {piece.channel.pv}: {reason}"
                f" ({self._options.tries} attempts; the pieces fetched so far are kept)",
                hint="beampermit data request",
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Outside(f"the archiver at {self._options.url} cannot be reached: {error}") from None

    def _sleep(self, seconds: float) -> None:
        """Sleep, but wake up once another piece has failed for good."""
        until = time.monotonic() + seconds
        while not self.stopped and time.monotonic() < until:
            time.sleep(min(0.1, seconds))

    def _try(self, piece: _Piece) -> None:
        if self.stopped:
            raise _Stopped
        spool = self._store.piece(piece.channel.pv, piece.span[0]).with_suffix(".json")
        try:
            self._download(piece, spool)
            # A cursor is a connection for this thread.
            with self._parsing, self._database.cursor() as cursor:
                answer = read_answer(cursor, spool, piece.channel)
                self._store.put(cursor, answer, piece.channel.pv, piece.span, first=piece.first)
        except InvalidAnswer as error:
            raise _Retry(str(error)) from None
        finally:
            spool.unlink(missing_ok=True)

    def _download(self, piece: _Piece, spool: Path) -> None:
        start, end = piece.span
        parameters = {"pv": piece.channel.pv, "from": iso_time(start), "to": iso_time(end)}
        began, size = time.monotonic(), 0
        with (
            self._client.stream("GET", self._options.url + PATH, params=parameters) as response,
            spool.open("wb") as file,
        ):
            self._check_status(response.status_code, piece)
            for block in response.iter_bytes():
                size += len(block)
                if size > LARGEST:
                    raise Outside(
                        f"the archiver's answer for {piece.channel.pv} is larger than {LARGEST >> 20} MiB",
                        file=FILE_NAME,
                        hint="shorten dataset.request.options.piece",
                    )
                if self.stopped:
                    raise _Stopped
                if time.monotonic() - began > self._options.longest:
                    raise _Retry(f"the answer took longer than {self._options.longest:g} s")
                file.write(block)

    def _check_status(self, status: int, piece: _Piece) -> None:
        if status in BUSY:
            raise _Retry(f"status {status}")
        if status == 404:
            raise BadInput(
                f"{self._options.url} returns status 404 for {piece.channel.pv}: the archiver does not know this PV,"
                " or there is no archiver at this address",
                file=FILE_NAME,
            )
        if status != 200:
            raise Outside(
                f"the archiver at {self._options.url} returns status {status} for {piece.channel.pv}",
                hint="check dataset.request.options.url",
            )
