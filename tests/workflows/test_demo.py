"""`make demo` is a promise: the loop is played to its end, and each refusal is by the interlock that it plants.

It is played in the two parts that `--only` knows, one after the other: of what they are made, `make demo` is as well.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.git import Git
from beampermit.registry.ledger import Ledger

JUDGES = ("environment", "data", "tests", "reproduce", "documents")
JOBS = (*JUDGES, "permit")
DOCUMENTS = {"permit.dsse.json", "MODEL_CARD.md", "RUNBOOK.md", "DATASHEET.md", "phoebus.xml", "sbom.cdx.json"}
ANSWER = r"-?\d+\.\d{3}( (MINOR|MAJOR) \((?!held)[^()]+\))?"
"""Of the model, maybe beyond an alarm limit of the contract."""
NO_ANSWER = r"(-?\d+\.\d{3} MAJOR \(held\)|INVALID \(.+\))"


@pytest.mark.slow
@pytest.mark.timeout(2400)  # for what hangs: beside other tests it takes up to 15 minutes
def test_the_loop_closes(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "beampermit.cli.main", "demo", "--dir", str(folder), "--json"]
    results = [*_played(command, "loop", folder), *_played(command, "service", folder)]
    assert any(line.startswith("refused by ENV002: ") and "rich" in line for line in results)
    assert any(line.startswith("refused by DAT004: ") and "outside [-20, 20] mm" in line for line in results)
    ledger = Ledger(Git(folder / "bpm-faults"))
    ledger.fetch()
    assert [(event.event, event.version) for event in ledger.events()] == [
        ("promote", 1),
        ("promote", 2),
        ("rollback", 1),
        ("rollback", 2),
        ("rollback", 1),
    ]
    serves, disturbed, switched = results[-3:]
    assert serves.startswith("version 1 serves: BPM-01S1:X:FAULT is "), "operators see a number"
    faults = ("an input is NaN", "disconnected", "model killed")
    told = "; ".join(f"{fault}: {ANSWER} → {NO_ANSWER} → {ANSWER}" for fault in faults)
    assert re.fullmatch(told, disturbed), f"{disturbed}: a number, that there is none, and a number again"
    told = f"version 1 → 2 → 1: BPM-01S1:X:FAULT is {ANSWER} → {ANSWER} → {ANSWER}; [^;]+"
    assert re.fullmatch(told, switched), f"{switched}: a number of each version"
    longest = float(switched.removesuffix(" s").rpartition(" ")[2])
    assert longest < 4, "the model that takes over needs longer than that to begin: no update waited for it"
    assert {document.name for document in (folder / "documents").glob("*.html")} == {
        "report-better-model.html",
        "report-stale-lock.html",
        "report-data-outside-range.html",
        "model-card.html",
        "runbook.html",
    }
    in_service = {"model-card": "| Version | 1 in the registry, in service since", "runbook": "| version 1, since"}
    for name, said in in_service.items():
        assert said in (folder / f"documents/{name}.md").read_text()
    advised = [*command[:3], "check", "ENV", "DAT", "--json", "--project", str(folder / "bpm-faults")]
    verdicts = json.loads(subprocess.run(advised, capture_output=True, text=True, check=False).stdout)
    assert {verdict["outcome"] for verdict in verdicts} == {"passed"}, "the work tree holds the data of its branch"
    _stale, better, _outside, release = sorted((folder / "bpm-faults/.beampermit/rehearsals").iterdir())
    assert _from_act(better) == dict.fromkeys(JOBS, "success")
    assert _kept(better) >= {
        "report/report.html",
        "permit/permit.json",
        *(f"verdicts-{job}/{job}.json" for job in JUDGES),
    }
    judged = json.loads((better / "artifacts/verdicts-reproduce/reproduce.json").read_text())["verdicts"]
    (again,) = [verdict["reason"] for verdict in judged if verdict["id"] == "REP001"]
    assert again.startswith("identical: "), "a network of torch is made again bit by bit"
    assert _from_act(release) == dict.fromkeys((*JOBS, "promote"), "success")
    assert _kept(release) >= {f"release/{name}" for name in ("permit.json", *DOCUMENTS)}
    released = {path.name for path in (release / "releases/bpm-faults-v2").iterdir()}
    assert released >= DOCUMENTS
    assert "permit.json" not in released, "what nobody signed is not published"


def _played(command: list[str], part: str, folder: Path) -> list[str]:
    """The results of its steps."""
    played = subprocess.run([*command, "--only", part], capture_output=True, text=True, check=False)
    assert played.returncode == 0, played.stderr[-3000:] + (folder / "demo.log").read_text()[-5000:]
    told = json.loads(played.stdout)
    assert told["folder"] == str(folder)
    return [step["result"] for step in told["steps"]]


def _from_act(rehearsal: Path) -> dict[str, str]:
    """Job -> result, straight from act's own log."""
    lines = [json.loads(line) for line in (rehearsal / "act.log").read_text().splitlines() if line[:1] == "{"]
    return {line["job"].strip().rpartition("/")[2]: line["jobResult"] for line in lines if "jobResult" in line}


def _kept(rehearsal: Path) -> set[str]:
    folder = rehearsal / "artifacts"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
