"""An inventory of fifty projects: the first one, and from caches.

`INVENTORY_PROJECTS` asks for another number. Each is a repository of its own with a signed version in service, 120
output PVs and a lock of 200 packages, looked up in 5,000 records of OSV. Repositories are folders of this machine, so
git waits for no network; a service that is asked is silent, which takes longest.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.demo.network import Network
from beampermit.processes import run
from beampermit.registry.event import Event, provenance
from support.promoted_project import PYPROJECT, package
from support.registry_project import Laboratory, database, found_laboratory

__all__ = ["database"]
pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
PROJECTS = int(os.environ.get("INVENTORY_PROJECTS", "50"))
DEVICES, PACKAGES, RECORDS = 120, 200, 5000
Say = Callable[[str], None]
PACKAGE = """
[[package]]
name = "package-{0}"
version = "1.{0}"
source = {{ registry = "https://packages.lab.example/simple" }}
sdist = {{ url = "https://packages.lab.example/package-{0}.tar.gz", hash = "sha256:{0:064x}", size = 1000 }}
"""


def _project(folder: Path, number: int, contract: str, database: Path) -> None:
    """A repository whose version 1 is in service, by the ledger alone."""
    name = f"model-{number}"
    text = contract.replace("name: bpm-faults", f"name: {name}").replace(
        "{device}:{plane}:F", f"{{device}}:M{number}:F"
    )
    folder.mkdir()
    lab = found_laboratory(folder, text, database)
    lab.model(1)
    package(lab)
    rows = "".join(f"B{place},{'XY'[place % 2]}\n" for place in range(DEVICES))
    (lab.root / "devices.csv").write_text(f"device,plane\n{rows}")
    (lab.root / "pyproject.toml").write_text(PYPROJECT)
    (lab.root / "uv.lock").write_text(
        (lab.root / "uv.lock").read_text() + "".join(map(PACKAGE.format, range(PACKAGES)))
    )
    lab.change(number)
    _promote(lab, name)


def _promote(lab: Laboratory, name: str) -> None:
    signed = lab.sign()
    permit, ledger = signed.statement, lab.ledger
    ledger.fetch()
    told = {
        "event": "promote", "sequence": 1, "model": name, "version": 1, "digest": permit.model_digest,
        "permit": permit.digest, "commit": permit.predicate.commit, "expected": None,
        "registry": str(uuid.uuid4()), "address": "https://mlflow.lab.example",
    }  # fmt: skip
    event = Event.model_validate({**told, **provenance(lab.project.git, "A model of many")})
    ledger.append(event, permit=signed.content)


def _records(file: Path) -> None:
    """None of them means a version that is locked."""
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "0.9"}]}]
    file.write_text(json.dumps([
        {"id": f"GHSA-{n}", "affected": [{"package": {"ecosystem": "PyPI", "name": f"package-{n}"}, "ranges": ranges}]}
        for n in range(RECORDS)
    ]))  # fmt: skip


def test_fifty_projects(tmp_path: Path, contract_text: str, database: Path, say: Say) -> None:
    import time

    for number in range(PROJECTS):
        _project(tmp_path / f"{number}", number, contract_text, database)
    _records(tmp_path / "osv.json")
    places = [{"repository": f"{number}/origin.git"} for number in range(PROJECTS)]
    (tmp_path / "inventory.yaml").write_text(
        json.dumps({"inventory": 1, "projects": places, "vulnerabilities": ["osv.json"]})
    )
    variables = {"BEAMPERMIT_CACHE": str(tmp_path / "cache"), "MLFLOW_TRACKING_URI": "", **Network().variables}

    def timed(*options: str, findings: int) -> tuple[float, float]:
        before, start = os.times(), time.perf_counter()
        command = [sys.executable, "-m", "beampermit.cli.main", "inventory", "--json", *options]
        finished = run(command, cwd=tmp_path, env=variables)
        after = os.times()
        body = json.loads(finished.out)
        assert len(body["findings"]) == findings, body["findings"][:3]
        assert sum(entry["state"] == "in service" for entry in body["entries"]) == PROJECTS
        return time.perf_counter() - start, sum(after[2:4]) - sum(before[2:4])

    alone, registry = ("--no-services",), ("--registry", f"sqlite:///{database}")
    for what, options, findings in (
        ("first, all repositories copied", alone, 0),
        ("from caches", alone, 0),
        ("from caches, the registry asked", (*alone, *registry), 0),
        ("from caches, registry and silent services asked", registry, PROJECTS),
    ):
        seconds, cpu = timed(*options, findings=findings)
        say(f"{PROJECTS} projects, {what}: {seconds:.2f} s ({cpu:.2f} s of CPU)")
