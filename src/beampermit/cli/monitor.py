"""`beampermit monitor`: windows of the prediction log against the limits of the version in service."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from beampermit.cli.output import Folder, Json, console, plain, print_json
from beampermit.cli.respond import Logbook
from beampermit.cli.respond import Repository as OnGitHub

if TYPE_CHECKING:
    from beampermit.contract import Contract
    from beampermit.live.promoted.wanted import Wanted
    from beampermit.monitoring.monitor import Round
    from beampermit.monitoring.response import Responder
    from beampermit.monitoring.truth_pvs import TruthSource
    from beampermit.monitoring.watched import Watch
    from beampermit.project import Project
    from beampermit.verdicts.monitoring import Result, Standing, Trip

logger = logging.getLogger("beampermit.monitor")
PAGE = "page.html"
"""In the monitor's folder, beside its result."""
LINE = "{:<8} {:<8} {:<24} {:>10} {:>10}  {}"

Model = Annotated[str, typer.Option(metavar="NAME", help="The model, by its name.", show_default="that of the project")]
LedgerOf = Annotated[
    str,
    typer.Option(
        "--ledger",
        metavar="REPOSITORY",
        help="Git repository of the ledger; needed with --model, and only there.",
        show_default="origin of the project",
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The monitor's own folder; one monitor for each.",
        show_default="that of `serve`, with -monitor after its name",
    ),
]


def monitor(
    log: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Prediction log of `beampermit serve --log`.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Judge the window that ends now, and end.")] = False,
    model: Model = "",
    ledger: LedgerOf = "",
    registry: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="The registry, for going back to the former champion by itself.",
            show_default="MLFLOW_TRACKING_URI",
        ),
    ] = "",
    state: State = None,
    truth: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Table of what turned out to be true (Parquet, CSV), or archiver:ADDRESS to ask for truth PVs.",
            show_default="monitoring.truth of the contract, in the project",
        ),
    ] = "",
    logbook: Logbook = "",
    repository: OnGitHub = "",
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Watch the version in service by its prediction log.

    Drift of inputs and outputs, shares of what is missing, INVALID or a fallback, latency, quality where truth arrives.
    Windows of the prediction log are compared with the limits of the champion's commit, as `monitoring` of the contract
    says, every so often until it is told to end. `page.html` in its folder is for operators. It needs no network: the
    ledger as last read counts.

    An alarm stores its window in `candidates` of its folder, opens an issue (with GITHUB_TOKEN), is posted to
    BEAMPERMIT_WEBHOOK, and does what `monitoring` of the contract allows.

    Exit codes with --once: 0 nothing is in alarm, 1 something is, 2 an option is wrong or another monitor has the state
    folder, 4 the ledger was never read here.
    """
    # Before numpy is there: a second thread of its products waits by computing nothing, beside the service.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from beampermit.errors import BadInput
    from beampermit.monitoring.monitor import Monitor, require_log
    from beampermit.project import Project

    if log is None:
        raise BadInput("--log is needed: the prediction log", hint="beampermit monitor --log FOLDER")
    found = None if model else Project.find(project.resolve())
    wanted, root = monitored(model, ledger, project, state), found.root if found else None
    answering = Answering(found, log.absolute(), logbook, repository, registry)
    known = truth_options(truth)
    if once:
        require_log(log)
        with (
            Monitor(wanted, log.absolute(), answering.take, root=root, **known) as made,
            answering.opened(wanted.state, made.watch) as responder,
        ):
            done = made.judge()
            answering.show(wanted.state, done)
            responder.work()
        print_json(done.result.model_dump(mode="json")) if as_json else _print(done)
        raise typer.Exit(1 if done.in_alarm else 0)
    _run(wanted, log.absolute(), known, root, answering)


def monitored(model: str, ledger: str, project: Path, state: Path | None) -> Wanted:
    """What is monitored; its state is the monitor's folder. Raises `BadInput`."""
    from dataclasses import replace

    from beampermit.cli.serve import wanted_of
    from beampermit.live.observation.monitoring import monitor_folder

    wanted = wanted_of(model, ledger, project, None)
    return replace(wanted, state=state.absolute() if state else monitor_folder(wanted.state))


class TruthOptions(TypedDict, total=False):
    """Of a `Monitor`."""

    truth: Path
    pvs: TruthSource


def truth_options(named: str) -> TruthOptions:
    """What `--truth` names. Raises `BadInput` for an address that is none."""
    from beampermit.monitoring.truth_archive import TruthArchive

    kind, colon, address = named.partition(":")
    if colon and kind == "archiver":
        return {"pvs": TruthArchive(address)}
    return {"truth": Path(named)} if named else {}


@dataclass
class Answering:
    """What responds to trips. The monitor's folder must be ours before it is opened."""

    project: Project | None
    log: Path
    logbook: str
    repository: str
    registry: str
    responder: Responder | None = None

    @contextmanager
    def opened(self, state: Path, watch: Watch) -> Iterator[Responder]:
        from beampermit.alarm_outlets import responder_of
        from beampermit.in_service import show_in_service

        with responder_of(
            state,
            log=self.log,
            project=self.project,
            watch=watch,
            registry=self.registry,
            logbook=self.logbook,
            repository=self.repository,
            show_in_service=show_in_service,
        ) as self.responder:
            yield self.responder

    def show(self, state: Path, done: Round) -> None:
        """Write the page of a round, and again when the monitor goes back: whoever looks must see it."""
        if self.responder:
            self.responder.on_fall_back = partial(write_page, state, done, self.responder)
            self.responder.on_fall_back()

    def take(self, trips: Sequence[Trip], result: Result, contract: Contract | None) -> None:
        if self.responder:
            self.responder.take(trips, result, contract)


def _run(wanted: Wanted, log: Path, known: TruthOptions, root: Path | None, answering: Answering) -> None:
    import signal
    import threading

    from beampermit.live.observation.journal import start_journal
    from beampermit.monitoring.monitor import Monitor

    start_journal(None)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    with (
        Monitor(wanted, log, answering.take, root=root, **known) as made,
        answering.opened(wanted.state, made.watch) as responder,
    ):
        responder.start()
        logger.info("monitoring %s by %s", wanted.model, log)
        made.run(end, lambda done: _tell(wanted.state, done, answering))


def write_page(folder: Path, done: Round, responder: Responder) -> None:
    from beampermit.documents.monitoring_page import monitoring_page
    from beampermit.files import write_text

    write_text(folder / PAGE, monitoring_page(done.result, done.contract, done.pictures, responder.kept.journal.alarms))


def _tell(folder: Path, done: Round, answering: Answering) -> None:
    answering.show(folder, done)
    for trip in done.trips:
        standing = trip.standing
        said = "cleared" if trip.cleared else standing.level
        detail = plain(standing.reading.detail)
        logger.warning("%s: %s %s", said, standing.key, detail, extra={"trip": trip.name, "version": trip.version})
    for note in done.notes:
        logger.warning("%s", plain(note))


def _print(done: Round) -> None:
    window, target = done.result.window, console()
    span = f"{_time(window.since)} to {_time(window.until)}"
    target.print(f"{done.result.model} version {window.version}: {window.rows} rows, {span}")
    for note in done.notes:
        target.print(plain(note))
    if done.result.standings:
        target.print(LINE.format("check", "level", "of", "value", "limit", "").rstrip())
    for standing in done.result.standings:
        target.print(_line(standing).rstrip())


def _line(standing: Standing) -> str:
    reading = standing.reading
    said = [plain(reading.detail)]
    if standing.bypassed_until is not None:
        said.append(f"bypassed until {_time(standing.bypassed_until)} by {plain(standing.bypassed_by)}")
    numbers = f"{reading.value:.4g}", f"{reading.limit:.4g}"
    return LINE.format(reading.check, standing.level, plain(reading.subject), *numbers, "; ".join(filter(None, said)))


def _time(at: float) -> str:
    """In UTC, as `beampermit bypass` has it."""
    from datetime import UTC, datetime

    from beampermit.registry.event import written

    return written(datetime.fromtimestamp(at, UTC))
