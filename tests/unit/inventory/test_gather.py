"""All of it together: real repositories, registry and status PVs, and what happens where one fails."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.inventory.gather import Options, make_inventory
from beampermit.inventory.listing import Listing, Place
from beampermit.live.promoted.wanted import Repository
from beampermit.live.status_pvs import STATUS_PVS
from beampermit.verdicts.inventory import Inventory
from support.epics import Network, epics, pva_server
from support.http_service import Browse, browse
from support.promoted_project import IN_SERVICE, LOCK, package
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow

__all__ = ["browse", "epics"]
QUIET = Options(services=False, schedules=False)
OUTPUTS = ("B1:X:FAULT", "B2:Y:FAULT")
TORCH = f"""
[[package]]
name = "torch"
version = "2.4.0"
source = {{ registry = "https://index.lab.example/simple" }}
wheels = [
  {{ url = "https://index.lab.example/torch-2.4.0-py3-none-any.whl", hash = "sha256:{"1" * 64}", size = 1 }},
]
"""


def listing(lab: Laboratory, *more: Place, **changed: Any) -> Listing:
    plain = Listing((Place(Repository(str(lab.root.parent / "origin.git"))), *more), registry=lab.uri)
    return replace(plain, **changed)


def found(made: Inventory) -> list[tuple[str, str]]:
    return [(one.id, one.model) for one in made.findings]


def status_of(prefix: str, version: int, status: str = "SERVING", monitor: float = 60.0) -> dict[str, Any]:
    """The PVs of a service as p4p serves them."""
    values: dict[str, Any] = {"VERSION": version, "STATUS": status, "REASON": "", "PERMIT": "", "MONITOR": monitor}
    kinds = {"text": "s", "int": "l", "float": "d"}
    return {
        f"{prefix}:{pv.name}": {"nt": kinds[pv.kind], "value": values.get(pv.name, 0), "timestamp": time.time()}
        for pv in STATUS_PVS
    }


@contextmanager
def served(network: Network, *services: dict[str, Any], **outputs: Any) -> Iterator[None]:
    """Services whose heartbeats move."""
    pvs = {name: pv for one in services for name, pv in one.items()}
    pvs |= {name: {"nt": "d", "value": 0.5} for name in outputs.get("outputs", ())}
    beats = [name for name in pvs if name.endswith(":HEARTBEAT")]
    import threading

    with pva_server(network, pvs) as server:
        over = threading.Event()

        def beat() -> None:
            count = 1
            while not over.wait(0.1):
                server.set_all(dict.fromkeys(beats, count), timestamp=time.time())
                count += 1

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def test_nothing_is_found_in_a_sound_laboratory(lab: Laboratory, epics: Network, tmp_path: Path) -> None:
    archived = [*OUTPUTS, *(f"BPM-FAULTS:{pv.name}" for pv in STATUS_PVS)]
    (tmp_path / "archived.json").write_text(json.dumps(archived))
    tree = "".join(f'<pv name="{pv}"/>' for pv in (*OUTPUTS, "BPM-FAULTS:MONITOR"))
    (tmp_path / "tree.xml").write_text(f"<config>{tree}</config>")
    (tmp_path / "people").write_text("ada@lab.example bo@lab.example")
    record = {"id": "A", "affected": [{"package": {"ecosystem": "PyPI", "name": "torch"}, "versions": ["1.0"]}]}
    (tmp_path / "osv.json").write_text(json.dumps(record))
    asked = listing(
        lab,
        alarm_trees=(tmp_path / "tree.xml",),
        archived=(tmp_path / "archived.json",),
        people=tmp_path / "people",
        vulnerabilities=(tmp_path / "osv.json",),
    )
    with served(epics, status_of("BPM-FAULTS", 1), outputs=OUTPUTS):
        made = make_inventory(asked, Options(timeout=2.0))
    assert made.findings == ()
    assert made.exit_code == 0
    assert made.unasked == ("schedules: not asked, GITHUB_TOKEN is not set, or nothing is on GitHub",)
    (entry,) = made.entries
    assert (entry.model, entry.version, entry.served, entry.status, entry.registry) == (MODEL, 1, 1, "SERVING", 1)
    assert entry.alive
    assert entry.monitored == 60.0


def test_what_the_archiver_knows_and_no_ledger_is_asked_and_found(
    lab: Laboratory, epics: Network, tmp_path: Path
) -> None:
    known = [f"{prefix}:{pv.name}" for prefix in ("BPM-FAULTS", "OLD", "ENDED") for pv in STATUS_PVS]
    (tmp_path / "archived.json").write_text(json.dumps([*known, *OUTPUTS, "KEY:PERMIT"]))
    asked = listing(lab, archived=(tmp_path / "archived.json",), services=("BPM-FAULTS",))
    with served(epics, status_of("BPM-FAULTS", 1), status_of("OLD", 4), outputs=OUTPUTS):
        made = make_inventory(asked, Options(timeout=2.0))
        assert [(one.id, one.message, one.next) for one in made.findings] == [
            (
                "INV001",
                "OLD is served, version 4, and no ledger of this inventory has that model",
                "beampermit status OLD",
            )
        ]
        unread = replace(asked, places=(*asked.places, Place(Repository(str(tmp_path / "none.git")))))
        made = make_inventory(unread, Options(timeout=2.0))
    assert [(one.id, one.unknown) for one in made.findings] == [("INV001", True), ("INV016", True)]
    assert made.findings[0].message.endswith("has that model; 1 of its repositories could not be read")
    assert made.exit_code == 4, "the repository that could not be read may have that model"


def test_a_silent_service_and_a_second_server_are_found(lab: Laboratory, epics: Network) -> None:
    with served(epics, outputs=OUTPUTS), served(epics, outputs=OUTPUTS[:1]):
        made = make_inventory(listing(lab), Options(timeout=1.0))
    assert found(made) == [("INV002", MODEL), ("INV003", MODEL)]
    assert made.findings[1].message.startswith("2 servers answer for B1:X:FAULT: 127.0.0.1:")
    assert made.exit_code == 1


def test_a_service_is_asked_over_http_where_its_address_is_listed(lab: Laboratory, browse: Browse) -> None:
    url = str(browse().client.base_url)
    place = replace(listing(lab).places[0], status=url)
    made = make_inventory(Listing((place,), registry=lab.uri), Options(schedules=False, timeout=2.0))
    (entry,) = made.entries
    assert (entry.asked, entry.status, entry.alive) == (True, "STARTING", True)
    assert made.findings == ()
    text = (lab.root / "contract.yaml").read_text()
    (lab.root / "losses").mkdir()
    other = text.replace("name: bpm-faults", "name: losses").replace("  devices: devices.csv\n", "")
    (lab.root / "losses/contract.yaml").write_text(other.replace("{device}:{plane}", "L1"))
    lab.change(3)
    made = make_inventory(Listing((place,), registry=lab.uri), QUIET)
    assert [one.message for one in made.findings] == [f"{url} is of one service, and 2 models are in this repository"]


def test_one_project_that_fails_leaves_the_others(lab: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "broken.git").mkdir()
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "empty.git"], check=True)
    others = [Place(Repository(str(tmp_path / name))) for name in ("broken.git", "empty.git", "none.git")]
    made = make_inventory(listing(lab, *others), QUIET)
    by_project = {Path(one.project).name: (one.id, one.unknown) for one in made.findings}
    assert by_project == {
        "broken.git": ("INV016", True), "empty.git": ("INV016", False), "none.git": ("INV016", True),
    }  # fmt: skip
    assert [(entry.model, entry.state) for entry in made.entries if entry.model] == [(MODEL, "in service")]
    assert len(made.entries) == 4
    assert made.exit_code == 1
    assert make_inventory(listing(lab, others[0]), QUIET).exit_code == 4


def test_a_defect_of_ours_in_one_project_leaves_the_others(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    from beampermit.inventory import projects

    read = projects.read_repository

    def broken(place: Place) -> object:
        if "other" in place.repository.address:
            raise RecursionError("too deep")
        return read(place)

    monkeypatch.setattr(projects, "read_repository", broken)
    made = make_inventory(listing(lab, Place(Repository("https://git.lab.example/other"))), QUIET)
    assert [(one.message, one.unknown) for one in made.findings] == [("RecursionError: too deep", True)]
    assert len(made.entries) == 2


def test_the_registry_is_compared_with_the_ledger(lab: Laboratory) -> None:
    assert make_inventory(listing(lab), QUIET).findings == ()
    lab.registry.delete_alias(MODEL, "champion")
    (finding,) = make_inventory(listing(lab), QUIET).findings
    assert (finding.id, finding.message) == (
        "INV005",
        "no version has the alias champion in the registry; according to the ledger it is version 1",
    )


def test_a_registry_that_does_not_answer_is_not_known(lab: Laboratory, tmp_path: Path) -> None:
    made = make_inventory(listing(lab, registry=f"sqlite:///{tmp_path}/none.db"), QUIET)
    assert [(one.id, one.unknown) for one in made.findings] == [("INV016", True)]
    assert made.exit_code == 4


def test_another_registry_than_the_ledgers_is_not_compared(lab: Laboratory, database: Path) -> None:
    made = make_inventory(listing(lab, registry=f"sqlite:///{database}"), QUIET)
    assert made.findings == ()
    assert f"registry of {MODEL}: their ledgers name another one" in made.unasked
    with pytest.raises(BadInput, match="not the address of a registry"):
        make_inventory(listing(lab, registry="nowhere"), QUIET)


def test_two_models_that_promise_one_pv_are_found_without_a_network(
    lab: Laboratory, prepared: Callable[..., Laboratory], tmp_path: Path
) -> None:
    copy = prepared("served", *IN_SERVICE, into=tmp_path / "copy")
    made = make_inventory(listing(lab, *listing(copy).places), QUIET)
    (finding,) = [one for one in made.findings if one.id == "INV003"]
    assert finding.message.startswith("B1:X:FAULT (and ")
    assert finding.message.endswith(f"more) is also served by {MODEL} of {lab.root.parent / 'origin.git'}")


def test_the_project_itself_is_no_package_that_can_be_vulnerable(lab: Laboratory, tmp_path: Path) -> None:
    record = {"id": "A", "affected": [{"package": {"ecosystem": "PyPI", "name": "faults"}, "versions": ["1"]}]}
    (tmp_path / "osv.json").write_text(json.dumps(record))
    made = make_inventory(listing(lab, vulnerabilities=(tmp_path / "osv.json",)), QUIET)
    assert made.findings == (), "the project itself is no package of the index"


def test_a_vulnerable_package_of_the_champions_lock_is_found(
    prepared: Callable[..., Laboratory], tmp_path: Path
) -> None:
    def lock(lab: Laboratory) -> None:
        (lab.root / "uv.lock").write_text(LOCK + TORCH)

    lab = prepared("with torch", package, lock, *IN_SERVICE[1:])
    for versions, messages in ((["2.3.0"], []), (["2.4.0"], ["torch 2.4.0 has OSV-1"])):
        record = {
            "id": "OSV-1",
            "affected": [{"package": {"ecosystem": "PyPI", "name": "torch"}, "versions": versions}],
        }
        (tmp_path / "osv.json").write_text(json.dumps(record))
        made = make_inventory(listing(lab, vulnerabilities=(tmp_path / "osv.json",)), QUIET)
        assert [one.message for one in made.findings] == messages
    assert [(one.id, one.next) for one in made.findings] == [("INV013", "beampermit env lock --update torch")]
