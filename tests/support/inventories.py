"""A model of an inventory with which nothing is wrong, to be spoiled, and its site."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from beampermit.inventory.facts import Declared, KeyFacts, ModelFacts, Owner, RepositoryFacts
from beampermit.inventory.seen import Seen, Shown, Site
from beampermit.inventory.site_files import AlarmTree
from beampermit.live.observation.services import ServiceStatus
from beampermit.registry.event import Event, Kind

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
PROJECT = "https://git.lab.example/ml/faults.git"
OUTPUTS = ("B1:FAULT", "B2:FAULT")
ALARMED = frozenset((*OUTPUTS, "BPM-FAULTS:MONITOR"))
IDENTITY = "11111111-2222-3333-4444-555555555555"
DECLARED = Declared(
    model="bpm-faults",
    summary="Flags monitors.",
    owners=(Owner(name="Ada Operator", email="ada@lab.example"), Owner(name="Bo Physicist", email="Bo@lab.example")),
    review_by=date(2026, 11, 29),
    on_call="+1 555 0100",
    prefix="BPM-FAULTS",
    outputs=OUTPUTS,
    every=600.0,
)


def event(kind: Kind, version: int, ago: timedelta = timedelta(days=3), **more: Any) -> Event:
    told = {
        "event": kind, "sequence": version, "model": "bpm-faults", "version": version, "digest": f"sha256:{'1' * 64}",
        "permit": f"sha256:{'2' * 64}", "commit": "3" * 40, "expected": None, "at": f"{NOW - ago:%Y-%m-%dT%H:%M:%SZ}",
        "by": "Ada", "reason": "drifts", "registry": IDENTITY, "address": "https://mlflow.lab.example",
    }  # fmt: skip
    return Event.model_validate({**told, **more})


def sound_model(**changed: Any) -> ModelFacts:
    """Version 2 is champion, version 1 served before."""
    champion = event("promote", 2)
    told = {
        "name": "bpm-faults", "now": DECLARED, "running": DECLARED, "champion": champion, "last": champion,
        "promoted": (1, 2), "home": champion,
    }  # fmt: skip
    return ModelFacts.model_validate({**told, **changed})


def retired_model(**changed: Any) -> ModelFacts:
    """Version 2 was champion, and is retired."""
    told = {"champion": None, "running": None, "retired": (event("retire", 2, timedelta(days=1)),), **changed}
    return sound_model(**told)


def service(**changed: Any) -> ServiceStatus:
    told = {"name": "BPM-FAULTS", "version": 2, "status": "SERVING", "alive": True, "monitor_age": 1860.0, **changed}
    return ServiceStatus.model_validate(told)


def repository(**changed: Any) -> RepositoryFacts:
    keys = (KeyFacts(id="sha256:old", until=NOW - timedelta(days=300)), KeyFacts(id="sha256:new", until=None))
    return RepositoryFacts.model_validate({"made_by": "", "tip": "4" * 40, "ledger": "", "keys": keys, **changed})


def sound(**changed: Any) -> Seen:
    plain = Seen(
        project=PROJECT,
        model=sound_model(),
        repository=repository(),
        address="BPM-FAULTS",
        service=service(),
        shown=Shown(2, IDENTITY),
        servers=dict.fromkeys(("BPM-FAULTS:HEARTBEAT", *OUTPUTS), ("10.0.0.5:5075",)),
    )
    return replace(plain, **changed)


def site(**changed: Any) -> Site:
    plain = Site(
        at=NOW,
        tree=AlarmTree(ALARMED, frozenset()),
        archived=frozenset((*OUTPUTS, *sound().status_pvs)),
        people=frozenset({"ada@lab.example", "bo@lab.example", "cy@lab.example"}),
    )
    return replace(plain, **changed)
