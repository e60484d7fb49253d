"""Where the responses of a monitor go: GitHub, webhook, logbook and ledger, as this machine has them set up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from beampermit.contract import Contract
from beampermit.documents.alarm_texts import AlarmTexts
from beampermit.errors import BadInput, Failed
from beampermit.git import Git
from beampermit.github.client import Client
from beampermit.github.context import find_client
from beampermit.monitoring.backtest.backtest import backtest, calibration_of
from beampermit.monitoring.backtest.recorded import Recording, opened, span_of
from beampermit.monitoring.limits import read_limits
from beampermit.monitoring.response import kept
from beampermit.monitoring.response.fall_back import fall_back, fell_back
from beampermit.monitoring.response.logbook import load_logbook
from beampermit.monitoring.response.proposals import NewLimits, Suppressed
from beampermit.monitoring.response.respond import Outlets, Responder, nothing_done
from beampermit.monitoring.response.webhook import Webhook
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.operations import Session
from beampermit.verdicts.monitoring import Trip

WEEKS, FALSE_ALARMS = 4.0, 1.0
"""Limits that are proposed come from the last so many weeks, for one false alarm in them."""


@contextmanager
def responder_of(
    state: Path,
    *,
    log: Path | None = None,
    project: Project | None = None,
    contract: Contract | None = None,
    logbook: str = "",
    repository: str = "",
    environment: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.time,
) -> Iterator[Responder]:
    """The responder of a monitor's state folder; its thread is not started, and ends with the block.

    Raises `Conflict` where another process has it, `BadInput` for what is set up wrong.
    """
    webhook, book = Webhook.of_environment(environment), load_logbook(logbook) if logbook else None
    with kept.opened(state) as journal:
        outlets = Outlets(
            AlarmTexts,
            log=log,
            client=_client(state, project, repository, environment),
            webhook=webhook,
            logbook=book,
            new_limits=partial(new_limits, project, log) if project and log else None,
            fall_back=partial(_fall_back, project) if project else None,
            fell_back=partial(_fell_back, project) if project else nothing_done,
        )
        responder = Responder(journal, outlets, contract, clock=clock)
        try:
            yield responder
        finally:
            responder.close()


def new_limits(project: Project, log: Path, trip: Trip) -> NewLimits:
    """As `beampermit backtest LOG --false-alarms 1 --weeks 4 --write` writes them. Raises `Suppressed`."""
    contract = project.contract
    try:
        limits = read_limits(project.root, contract)
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
    file = project.git.prefix + contract.monitoring.calibration
    return NewLimits({file: found.model_dump_json(indent=2) + "\n"}, reason)


def _client(state: Path, project: Project | None, repository: str, environment: Mapping[str, str]) -> Client | None:
    """None where no repository is known, or no token: without one nothing can be written."""
    client = find_client(project.git if project else Git(state), repository, environment)
    return client if client and client.token else None


def _fall_back(project: Project, trip: Trip, host: str) -> Event:
    return fall_back(_session(project, trip.model), trip, host)


def _fell_back(project: Project, trip: Trip, host: str) -> Event | None:
    return fell_back(_session(project, trip.model), trip, host)


def _session(project: Project, model: str) -> Session:
    from beampermit.registry.ledger import Ledger
    from beampermit.registry.mlflow import Registry, registry_uri

    ledger = Ledger(project.git)
    home = None if os.environ.get("MLFLOW_TRACKING_URI") else ledger.state(model).home
    registry = Registry(registry_uri(home.address if home else ""), create=False)
    return Session(project.git, ledger, registry, model, silent)
