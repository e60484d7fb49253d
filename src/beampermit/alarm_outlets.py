"""Where the responses of a monitor go: GitHub, webhook, logbook and ledger, as this machine has them set up."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from beampermit.contract import Contract
from beampermit.documents.alarm_texts import AlarmTexts
from beampermit.errors import BadInput, Failed, did_you_mean
from beampermit.git import Git
from beampermit.github.client import Client
from beampermit.github.context import find_client
from beampermit.monitoring.backtest.backtest import backtest, calibration_of
from beampermit.monitoring.backtest.recorded import Recording, opened, span_of
from beampermit.monitoring.limits import Limits, read_limits
from beampermit.monitoring.response import kept
from beampermit.monitoring.response.fall_back import fall_back, fell_back
from beampermit.monitoring.response.logbook import GROUP, FileLogbook, Logbook
from beampermit.monitoring.response.olog import Olog
from beampermit.monitoring.response.proposals import NewLimits, Suppressed
from beampermit.monitoring.response.respond import Outlets, Responder, nothing_done
from beampermit.monitoring.response.webhook import Webhook
from beampermit.monitoring.watched import Watch
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.operations import Session
from beampermit.verdicts.monitoring import Trip

WEEKS, FALSE_ALARMS = 4.0, 1.0
"""Limits that are proposed come from the last so many weeks, for one false alarm in them."""
LOGBOOKS: dict[str, Callable[[str], Logbook]] = {"file": FileLogbook, "olog": Olog}
"""Of Beampermit; installed packages may have more."""


@contextmanager
def responder_of(
    state: Path,
    *,
    log: Path | None = None,
    project: Project | None = None,
    watch: Watch | None = None,
    registry: str = "",
    contract: Contract | None = None,
    logbook: str = "",
    repository: str = "",
    show_in_service: Callable[[Client, Ledger, str], object] | None = None,
    environment: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.time,
) -> Iterator[Responder]:
    """The responder of a monitor's state folder; its thread is not started, and ends with the block.

    What needs the model's repository is done in the checkout of `project`, else in the copy that `watch` keeps of it.
    `registry` is the address of its registry; where empty, `MLFLOW_TRACKING_URI`. `show_in_service` is told after the
    monitor went back to the former champion. Raises `Conflict` where another
    process has the folder, `BadInput` for what is set up wrong.
    """
    repository_of = Checkout(project) if project else CopyOfMonitor(watch) if watch else None
    webhook, book = Webhook.of_environment(environment), load_logbook(logbook) if logbook else None
    client = _client(state, project, repository, environment)

    def show(model: str) -> None:
        if client and repository_of and show_in_service:
            show_in_service(client, repository_of.ledger(), model)

    with kept.opened(state) as journal:
        outlets = Outlets(
            AlarmTexts,
            log=log,
            client=client,
            webhook=webhook,
            logbook=book,
            new_limits=partial(new_limits, repository_of.limits, log) if repository_of and log else None,
            fall_back=partial(_fall_back, repository_of, registry) if repository_of else None,
            fell_back=partial(_fell_back, repository_of, registry) if repository_of else nothing_done,
            show_in_service=show,
        )
        responder = Responder(journal, outlets, contract, clock=clock)
        try:
            yield responder
        finally:
            responder.close()


@dataclass(frozen=True)
class Checkout:
    """The repository of the model where somebody works in it."""

    project: Project

    def ledger(self) -> Ledger:
        return Ledger(self.project.git)

    def limits(self, _trip: Trip) -> LimitsOfContract:
        contract = self.project.contract
        return LimitsOfContract(contract, read_limits(self.project.root, contract), self.project.git.prefix)


@dataclass(frozen=True)
class CopyOfMonitor:
    """The copy without files that a monitor keeps; limits are those of the version that tripped."""

    watch: Watch

    def ledger(self) -> Ledger:
        return self.watch.another_ledger()

    def limits(self, trip: Trip) -> LimitsOfContract:
        watched = self.watch.known(trip.version)
        if watched is None:
            raise Suppressed(f"version {trip.version} is not watched any more")
        if watched.limits is None:
            raise Suppressed(f"version {trip.version} has no limits: {watched.problem}")
        return LimitsOfContract(watched.contract, watched.limits, self.watch.folder_of(watched))


@dataclass(frozen=True)
class LimitsOfContract:
    """What new limits are found with. `folder` is that of the project in its repository: `models/faults/`, or empty."""

    contract: Contract
    limits: Limits
    folder: str = ""


def new_limits(found_in: Callable[[Trip], LimitsOfContract], log: Path, trip: Trip) -> NewLimits:
    """As `beampermit backtest LOG --false-alarms 1 --weeks 4 --write` writes them. Raises `Suppressed`."""
    try:
        source = found_in(trip)
        contract, limits = source.contract, source.limits
        with opened(log, contract.model.name) as recorded:
            first, last = span_of(recorded, contract.model.name)
            since = max(first, last - WEEKS * 7 * 86400.0)
            recording = Recording(recorded, contract, since, last)
            made = backtest(recording, limits, false_alarms=FALSE_ALARMS, in_weeks=WEEKS, shifts=False)
    except (BadInput, Failed) as error:
        raise Suppressed(f"recorded data give no limits: {error}") from None
    found = calibration_of(made, recording, FALSE_ALARMS, WEEKS)
    key = trip.standing.key
    if key not in found.limits:
        raise Suppressed(f"recorded data give no limit of {key}")
    reason = (
        f"Limits for at most {FALSE_ALARMS:g} false alarm in {WEEKS:g} weeks, from what the service recorded between "
        f"{found.since} and {found.until} ({found.windows} windows), as beampermit backtest finds them. "
        f"Limit of {key}: {trip.standing.reading.limit:.4g} now, {found.limits[key]:.4g} proposed."
    )
    file = source.folder + contract.monitoring.calibration
    return NewLimits({file: found.model_dump_json(indent=2) + "\n"}, reason)


def load_logbook(choice: str) -> Logbook:
    """As `--logbook` names it: `NAME:WHERE`. Raises `BadInput` where no installed package has it."""
    name, _, where = choice.partition(":")
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise BadInput(f"--logbook: {choice!r} is not NAME:WHERE", hint="--logbook file:/srv/logbook/models.md")
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name in installed:
        try:
            kind: Any = installed[name].load()
        except (ImportError, AttributeError) as error:
            raise BadInput(f"the logbook {name!r} ({installed[name].value}) cannot be loaded: {error}") from None
        return kind(where)
    if name not in LOGBOOKS:
        others = {*installed, *LOGBOOKS}
        hint = did_you_mean(name, others) or f"; installed are {', '.join(sorted(others))}"
        raise BadInput(f"--logbook: there is no logbook {name!r}{hint}")
    return LOGBOOKS[name](where)


def _client(state: Path, project: Project | None, repository: str, environment: Mapping[str, str]) -> Client | None:
    """None where no repository is known, or no token: without one nothing can be written."""
    client = find_client(project.git if project else Git(state), repository, environment)
    return client if client and client.token else None


def _fall_back(repository: Checkout | CopyOfMonitor, registry: str, trip: Trip, host: str) -> Event:
    return fall_back(_session(repository, registry, trip.model), trip, host)


def _fell_back(repository: Checkout | CopyOfMonitor, registry: str, trip: Trip, host: str) -> Event | None:
    return fell_back(_session(repository, registry, trip.model), trip, host)


def _session(repository: Checkout | CopyOfMonitor, address: str, model: str) -> Session:
    from beampermit.registry.mlflow import Registry, checked_uri, registry_uri

    ledger = repository.ledger()
    if address:
        uri = checked_uri(address, "--registry")
    else:
        home = None if os.environ.get("MLFLOW_TRACKING_URI") else ledger.state(model).home
        uri = registry_uri(home.address if home else "")
    return Session(ledger.git, ledger, Registry(uri, create=False), model, silent)
