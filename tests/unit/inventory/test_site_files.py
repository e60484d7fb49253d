"""The alarm tree in use, the archiver's list, and the list of people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beampermit.deployment.archiver import archiver_list
from beampermit.deployment.deployment import deployment_of
from beampermit.documents.alarm_tree import alarm_tree, phoebus
from beampermit.errors import BadInput
from beampermit.inventory.site_files import read_alarm_trees, read_archived, read_people
from beampermit.project import Project

TREE = """<config name="Machine">
  <component name="RF"><pv name="ca://RF:KLYSTRON"><enabled>true</enabled></pv></component>
  <component name="model">
    <pv name="B1:FAULT"><enabled>false</enabled></pv>
    <pv name="pva://B2:FAULT"><description>x</description></pv>
    <pv name="B3:FAULT.SEVR"><enabled>2026-12-01T08:00:00</enabled></pv>
  </component>
</config>"""


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_an_alarm_tree_is_read_with_what_is_disabled(tmp_path: Path) -> None:
    tree = read_alarm_trees([write(tmp_path / "tree.xml", TREE)])
    assert tree.pvs == {"RF:KLYSTRON", "B1:FAULT", "B2:FAULT", "B3:FAULT"}
    assert tree.disabled == {"B1:FAULT"}, "a date is when it begins again"


def test_what_is_enabled_anywhere_is_enabled(tmp_path: Path) -> None:
    other = '<config name="b"><pv name="B1:FAULT"/></config>'
    tree = read_alarm_trees([write(tmp_path / "a.xml", TREE), write(tmp_path / "b.xml", other)])
    assert tree.disabled == frozenset()


def test_what_we_write_ourselves_is_read(tmp_path: Path, project: Project) -> None:
    text = (project.root / "contract.yaml").read_text().replace("{device}:{plane}", "B1:X")
    (project.root / "contract.yaml").write_text(text)
    project = Project(project.root)
    tree = read_alarm_trees([write(tmp_path / "phoebus.xml", phoebus(alarm_tree(project)))])
    archived = read_archived([write(tmp_path / "archiver.json", archiver_list(deployment_of(project)))])
    assert tree.pvs == {"B1:X:FAULT", "BPM-FAULTS:MONITOR"}
    assert archived > {"B1:X:FAULT", "BPM-FAULTS:STATUS", "BPM-FAULTS:MONITOR"}
    assert "BPM-FAULTS:RESTART" not in archived


def test_what_the_archiver_gives_is_read(tmp_path: Path) -> None:
    both = [write(tmp_path / "a.json", json.dumps(["B1:FAULT", "B1:FAULT.HIHI", "pva://B2:FAULT"]))]
    both.append(write(tmp_path / "b.json", json.dumps([{"pvName": "C:X"}])))
    assert read_archived(both) == {"B1:FAULT", "B2:FAULT", "C:X"}


def test_people_are_read_whatever_is_around_them(tmp_path: Path) -> None:
    text = "# former: old@lab.example\nAda Operator <Ada@lab.example>, on leave\nbo@lab.example;cy@lab.example\n"
    assert read_people(write(tmp_path / "people", text)) == {"ada@lab.example", "bo@lab.example", "cy@lab.example"}


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa">]><config name="&a;"><pv name="A"/></config>'


@pytest.mark.parametrize(
    ("text", "words"),
    [(BOMB, "a document type is not allowed here"), ("<config", "not XML"), ("<config/>", "this alarm tree has no PV")],
)
def test_what_is_no_alarm_tree_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_alarm_trees([write(tmp_path / "tree.xml", text)])


@pytest.mark.parametrize("text", ["{}", "[]", "[7]", '[{"status": "Being archived"}]', "B1:FAULT"])
def test_what_is_no_list_of_the_archiver_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"not a list of PVs|names no PV|not JSON"):
        read_archived([write(tmp_path / "archived.json", text)])


def test_an_empty_list_of_people_does_not_make_everybody_gone(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="so every owner would be gone"):
        read_people(write(tmp_path / "people", "# nobody yet\n"))
