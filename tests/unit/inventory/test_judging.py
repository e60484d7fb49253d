"""Each finding: planted, and absent where nothing is wrong."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from beampermit.inventory.facts import KeyFacts, Locked
from beampermit.inventory.judging import findings_of
from beampermit.inventory.seen import Seen, Shown, Site
from beampermit.inventory.site_files import AlarmTree
from beampermit.inventory.vulnerabilities import Known, Vulnerability
from beampermit.verdicts.inventory import FINDINGS
from support.inventories import (
    ALARMED,
    DECLARED,
    IDENTITY,
    NOW,
    OUTPUTS,
    event,
    repository,
    retired_model,
    service,
    site,
    sound,
    sound_model,
)

URL = "http://10.0.0.5:8766"
DAY = timedelta(days=1)
ARCHIVED = site().archived or frozenset()


def ended(days: float, *others: float) -> dict[str, Any]:
    keys = tuple(KeyFacts(id=f"sha256:{end}", until=NOW + end * DAY) for end in (days, *others))
    return {"repository": repository(keys=keys)}


def owned(*owners: str) -> dict[str, Any]:
    return {"repository": repository(code_owners=owners)}


def declared(**changed: Any) -> dict[str, Any]:
    return {"model": sound_model(now=DECLARED.model_copy(update=changed))}


def vulnerable(grave: bool, conda: bool = False) -> dict[str, Any]:
    package = Locked(name="torch", version="2.5.1+cpu", conda=conda)
    return {"known": (Known(package, (Vulnerability("GHSA-1", (), (), grave),)),)}


def found(seen: Seen, site: Site) -> list[tuple[str, str, str]]:
    return [(one.id, one.level, one.message) for one in findings_of(seen, site)]


SOUND = {
    "all is well": sound(),
    "nothing was asked": sound(service=None, shown=None, servers={}, address=""),
    "never promoted, and not served": sound(
        model=sound_model(champion=None, running=None, last=None, promoted=(), home=None),
        service=service(error="no answer within 3 s", status="", version=0, alive=False),
    ),
    "never promoted, and its service waits": sound(
        model=sound_model(champion=None, running=None, last=None, promoted=(), home=None),
        service=service(status="INVALID", version=0, monitor_age=None), shown=None,
    ),
    "retired, and the service says so": sound(
        model=retired_model(), service=service(status="RETIRED"), shown=Shown(None, IDENTITY),
        servers={"B1:FAULT": ("10.0.0.5:5075",)},
    ),
    "retired, and silent": sound(
        model=retired_model(), service=service(error="no answer", status=""), shown=Shown(None, IDENTITY)
    ),
    "the beam is off": sound(service=service(status="INVALID")),
    "just promoted: the one before still answers": sound(
        model=sound_model(champion=event("promote", 2, timedelta(minutes=59))), service=service(version=1)
    ),
    "just promoted: no window of monitoring yet": sound(
        model=sound_model(champion=event("promote", 2, timedelta(minutes=59))), service=service(monitor_age=None)
    ),
    "retired just now": sound(
        model=retired_model(retired=(event("retire", 2, timedelta(minutes=10)),)), shown=Shown(None, IDENTITY)
    ),
    "over HTTP": sound(address=URL, service=service(name="bpm-faults")),
    "the key that was replaced ended": sound(**ended(-300, 31)),
    "owners by account": sound(**owned("@ada", "@lab/operators", "ada@lab.example")),
    "owners by address": sound(**owned("Ada@lab.example", "bo@lab.example")),
    "not served as PVs": sound(
        model=sound_model(now=DECLARED.model_copy(update={"outputs": ()}), running=None), service=None, servers={}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SOUND)
def test_nothing_is_found_where_nothing_is_wrong(case: str) -> None:
    retired = SOUND[case].model.state == "retired"
    tree = AlarmTree(ALARMED, ALARMED) if retired else site().tree
    people = None if "owners by" in case else site().people
    assert found(SOUND[case], site(tree=tree, people=people)) == []


PLANTED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str, str]] = {
    "served, and not in the ledger": (
        {"service": service(version=7)}, {}, "INV001", "MAJOR",
        "BPM-FAULTS serves version 7, which the ledger does not know",
    ),
    "never promoted, and served": (
        {"model": sound_model(champion=None, running=None, last=None, promoted=(), home=None)}, {}, "INV001", "MAJOR",
        "BPM-FAULTS serves version 2, which the ledger does not know",
    ),
    "silent": (
        {"service": service(error="no answer within 3 s", status="")}, {}, "INV002", "MAJOR",
        "version 2 is champion, and BPM-FAULTS is silent: no answer within 3 s",
    ),
    "stands": (
        {"service": service(alive=False)}, {}, "INV002", "MAJOR",
        "version 2 is champion, and the inference loop of BPM-FAULTS stands",
    ),
    "another model at the address": (
        {"address": URL, "service": service(name="losses")}, {}, "INV002", "MAJOR",
        f"{URL} serves losses, another model",
    ),
    "two servers": (
        {"servers": {"B1:FAULT": ("10.0.0.5:5075", "10.0.0.6:5075"), "B2:FAULT": ("10.0.0.5:5075",)}}, {},
        "INV003", "MAJOR", "2 servers answer for B1:FAULT: 10.0.0.5:5075, 10.0.0.6:5075",
    ),
    "another version": (
        {"service": service(version=1)}, {}, "INV004", "MAJOR",
        "BPM-FAULTS serves version 1; version 2 is champion since 2026-11-26T12:00:00Z",
    ),
    "another version, an hour after the promotion": (
        {"service": service(version=1), "model": sound_model(champion=event("promote", 2, timedelta(minutes=61)))}, {},
        "INV004", "MAJOR", "BPM-FAULTS serves version 1; version 2 is champion since 2026-11-29T10:59:00Z",
    ),
    "another version, by a line dated in the future": (
        {"service": service(version=1), "model": sound_model(champion=event("promote", 2, timedelta(minutes=-11)))}, {},
        "INV004", "MAJOR", "BPM-FAULTS serves version 1; version 2 is champion since 2026-11-29T12:11:00Z",
    ),
    "retired eleven minutes ago, and served": (
        {
            "model": retired_model(retired=(event("retire", 2, timedelta(minutes=11)),)),
            "shown": Shown(None, IDENTITY),
        },
        {"tree": None}, "INV011", "MAJOR",
        "BPM-FAULTS serves version 2, which is retired at 2026-11-29T11:49:00Z by Ada",
    ),
    "an alias moved by hand": (
        {"shown": Shown(1, IDENTITY)}, {}, "INV005", "MAJOR",
        "version 1 has the alias champion in the registry; according to the ledger it is version 2",
    ),
    "a registry that forgot": (
        {"shown": Shown(None, "")}, {}, "INV005", "MAJOR", "the registry does not know this model",
    ),
    "review overdue": (
        declared(review_by=date(2026, 11, 28)), {}, "INV006", "MINOR", "the review was due by 2026-11-28, 1 day ago",
    ),
    "an owner is gone": (
        {}, {"people": frozenset({"ada@lab.example"})}, "INV007", "MINOR",
        "an owner is not in the list of people: Bo Physicist <Bo@lab.example>",
    ),
    "all owners are gone": (
        {}, {"people": frozenset({"cy@lab.example"})}, "INV007", "MAJOR",
        "no owner is in the list of people: Ada Operator <ada@lab.example>, Bo Physicist <Bo@lab.example>",
    ),
    "an owner left CODEOWNERS": (
        owned("ada@lab.example"), {"people": None}, "INV007", "MINOR",
        "an owner is not in CODEOWNERS: Bo Physicist <Bo@lab.example>",
    ),
    "never monitored": (
        {"service": service(monitor_age=None)}, {}, "INV008", "MINOR", "there is no result of monitoring",
    ),
    "monitor silent": (
        {"service": service(monitor_age=1861.0)}, {}, "INV008", "MAJOR",
        "the newest result of monitoring is 1861 s old, 1860 s is the limit",
    ),
    "key ends": (
        ended(30), {}, "INV010", "MINOR", "the last valid key ends on 2026-12-29: no permit is signed after that",
    ),
    "keys ended": (
        ended(-2, -1), {}, "INV010", "MAJOR", "the last valid key ended on 2026-11-28: no permit is signed after that",
    ),
    "retired, and served": (
        {"model": retired_model(), "shown": Shown(None, IDENTITY)}, {"tree": None}, "INV011", "MAJOR",
        "BPM-FAULTS serves version 2, which is retired at 2026-11-28T12:00:00Z by Ada",
    ),
    "an earlier version that is retired is served": (
        {"model": sound_model(retired=(event("retire", 1),)), "service": service(version=1)}, {}, "INV011", "MAJOR",
        "BPM-FAULTS serves version 1, which is retired at 2026-11-26T12:00:00Z by Ada",
    ),
    "out of service, and an earlier version is served": (
        {"model": retired_model(), "shown": Shown(None, IDENTITY), "service": service(version=1)}, {"tree": None},
        "INV011", "MAJOR", "BPM-FAULTS serves version 1, which is out of service",
    ),
    "frozen": (
        {"model": sound_model(frozen=event("freeze", 2))}, {}, "INV012", "NOTE",
        "promotions are frozen since 2026-11-26T12:00:00Z by Ada: drifts",
    ),
    "vulnerable": (vulnerable(False), {}, "INV013", "MINOR", "torch 2.5.1+cpu has GHSA-1"),
    "gravely vulnerable, from a channel": (
        vulnerable(True, True), {}, "INV013", "MAJOR", "torch 2.5.1+cpu, a conda package judged by its name has GHSA-1",
    ),
    "not in the alarm tree": (
        {}, {"tree": AlarmTree(frozenset({"C:X"}), frozenset())}, "INV014", "MINOR",
        "B1:FAULT (and 2 more) is not in the alarm tree",
    ),
    "the monitor is not in the alarm tree": (
        {}, {"tree": AlarmTree(frozenset(OUTPUTS), frozenset())}, "INV014", "MINOR",
        "BPM-FAULTS:MONITOR is not in the alarm tree",
    ),
    "disabled in the alarm tree": (
        {}, {"tree": AlarmTree(ALARMED, frozenset({"B2:FAULT"}))}, "INV014", "MINOR",
        "B2:FAULT is disabled in the alarm tree, without an end",
    ),
    "retired, and still alarmed": (
        {"model": retired_model(), "shown": Shown(None, IDENTITY), "service": service(status="RETIRED")}, {},
        "INV014", "MINOR", "the model is retired, and B1:FAULT (and 2 more) is enabled in the alarm tree",
    ),
    "not archived": (
        {}, {"archived": ARCHIVED - {"BPM-FAULTS:REASON"}}, "INV015", "MINOR", "BPM-FAULTS:REASON is not archived",
    ),
    "cannot be read": (
        {"model": sound_model(troubles=("uv.lock: not TOML",))}, {}, "INV016", "MINOR", "uv.lock: not TOML",
    ),
    "not believed": (
        {"model": sound_model(doubts="version 2 of bpm-faults is not believed: no permit")}, {}, "INV017", "MAJOR",
        "version 2 of bpm-faults is not believed: no permit",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED)
def test_what_is_planted_is_found_and_nothing_else(case: str) -> None:
    seen, around, id, level, message = PLANTED[case]
    assert found(sound(**seen), site(**around)) == [(id, level, message)]
    assert findings_of(sound(**seen), site(**around))[0].next


def test_every_finding_is_planted_somewhere() -> None:
    elsewhere = {"INV009"}  # GitHub's, in test_schedules.py
    assert {id for _, _, id, _, _ in PLANTED.values()} | elsewhere == set(FINDINGS)


def test_the_next_command_quotes_what_a_contract_chose() -> None:
    spoiled = sound(address="A; rm -rf /", service=service(error="no answer", status=""))
    assert findings_of(spoiled, site())[0].next == "beampermit status 'A; rm -rf /'"


def test_a_retired_model_needs_no_review_and_no_owners() -> None:
    old = DECLARED.model_copy(update={"review_by": date(2020, 1, 1)})
    seen = sound(model=retired_model(now=old), service=None, shown=None)
    assert found(seen, site(people=frozenset({"cy@lab.example"}), tree=None)) == []


def test_a_ledger_that_could_not_be_read_anew_leaves_what_is_served_unknown() -> None:
    for changed in (service(version=7), service(version=1)):
        (finding,) = findings_of(sound(service=changed, stale=True), site())
        assert finding.unknown
    (finding,) = findings_of(sound(service=service(alive=False), stale=True), site())
    assert not finding.unknown, "a loop that stands stands, whatever was promoted"
