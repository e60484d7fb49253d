"""The entries of a retired model stay in the alarm tree, and none of them is enabled."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from beampermit.documents.alarm_tree import alarm_tree, instances, phoebus
from beampermit.documents.retired_alarms import disabled, overrides, reason
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from support.forked_commands import beampermit
from support.phoebus_tree import unread_in_tree
from support.planted_results import write
from support.registry_project import append_promotion


@pytest.fixture
def table(project: Project, contract_text: str) -> Project:
    """The project with two devices."""
    write(project, "contract.yaml", contract_text.replace("dataset:\n", "  devices: devices.csv\ndataset:\n", 1))
    write(project, "devices.csv", "device,plane\nBPM.1,X\nBPM.1,Y\n")
    return Project(project.root)


UNTIL = "2027-01-31T00:00:00Z"


def test_every_entry_is_there_and_disabled_with_reason_and_successor(
    table: Project, event: Callable[..., Event]
) -> None:
    text = phoebus(alarm_tree(table))
    gone = event(event="retire", reason="drifts <&\x1b[2J", successor="orbit-faults", until=UNTIL)
    made = disabled(text, gone)
    before, after = ET.fromstring(text), ET.fromstring(made)  # noqa: S314 - our own
    assert [pv.attrib for pv in after.iter("pv")] == [pv.attrib for pv in before.iter("pv")]
    assert {one.text for one in before.iter("enabled")} == {"true"}
    assert {one.text for one in after.iter("enabled")} == {"false"}
    assert not unread_in_tree(made)
    first = after.find("component/guidance")
    assert first is not None
    said = first.findtext("details", "")
    assert said.startswith("version 1, at 2026-11-23T08:00:00Z by Ada Operator <ada@lab.example>: drifts <&")
    assert said.endswith(f". Use orbit-faults. Its PVs end at {UNTIL}.")
    assert "\x1b" not in said


def test_the_commands_for_jaws_disable_each_instance_whatever_the_reason_is(
    table: Project, event: Callable[..., Event], tmp_path: Path
) -> None:
    tree = alarm_tree(table)
    gone = event(event="retire", reason="it's $(touch x) `id`\n; drifts", successor="orbit-faults")
    (tmp_path / "set_override").write_text('#!/bin/sh\nprintf "%s\\0" "$@" >> told\n')
    (tmp_path / "set_override").chmod(0o755)
    found = {"PATH": str(tmp_path)}
    subprocess.run(["/bin/sh"], input=overrides(tree, gone), text=True, cwd=tmp_path, env=found, check=True)
    words = (tmp_path / "told").read_text().split("\0")[:-1]
    calls = [words[first : first + 6] for first in range(0, len(words), 6)]
    assert {(*one[:3], one[4]) for one in calls} == {("--override", "Disabled", "--comments", "--")}
    assert {one[3] for one in calls} == {reason(gone)}
    assert "$(touch x)" in reason(gone)
    assert [one[5] for one in calls] == [line.partition("=")[0] for line in instances(tree).splitlines()]
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["phoebus", "jaws"])
def test_the_command_follows_the_ledger(
    table: Project, git: Any, tmp_path: Path, event: Callable[..., Event], format: str
) -> None:
    git("init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    git("remote", "add", "origin", str(tmp_path / "origin.git"))
    ledger = Ledger(table.git)
    promoted = append_promotion(ledger, event(commit=table.git.head()))

    def made() -> tuple[str | None, str]:
        finished = beampermit("alarms", "--format", format, "--json", cwd=table.root)
        body = json.loads(finished.stdout)
        return body.get("retired"), "".join(Path(table.root, file).read_text() for file in body["files"])

    assert made()[0] is None
    sequence = {"sequence": 2, "expected": 1, "event": "retire", "reason": "drifts"}
    ledger.append(promoted.model_copy(update=sequence))
    retired, text = made()
    assert retired is not None
    assert retired.endswith(": drifts.")
    assert ("<enabled>false</enabled>" in text, "set_override" in text) == (format == "phoebus", format == "jaws")
    assert (table.root / "alarms/jaws-overrides").exists() == (format == "jaws")
    noted = beampermit("alarms", "--format", format, "--out", "it's alarms", cwd=table.root).stdout
    assert ("""sh 'it'"'"'s alarms/jaws-overrides' disables""" in " ".join(noted.split())) == (format == "jaws")
    ledger.fetch()
    back = {"sequence": 3, "expected": None, "event": "rollback", "reason": "it was the sensor"}
    ledger.append(promoted.model_copy(update=back))
    retired, text = made()
    assert (retired, "<enabled>false</enabled>" in text, "set_override" in text) == (None, False, False)
    assert not (table.root / "alarms/jaws-overrides").exists(), "it would disable alarms of a model in service"
