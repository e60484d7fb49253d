"""The alarm tree, read as Phoebus and JAWS read it: every PV once, every alarm answered, nothing of a name obeyed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.documents.alarm_tree import Tree, actions, alarm_tree, instances, phoebus
from beampermit.documents.facts import gather_facts
from beampermit.documents.runbook import runbook
from beampermit.errors import BadInput
from beampermit.project import Project
from support.phoebus_tree import unread_in_tree
from support.planted_results import commit, write

TABLE = "device,plane\nBPM.1,X\nBPM.1,Y\n"


@pytest.fixture
def table(project: Project, contract_text: str) -> Project:
    """The project with two devices."""
    write(project, "contract.yaml", contract_text.replace("dataset:\n", "  devices: devices.csv\ndataset:\n", 1))
    write(project, "devices.csv", TABLE)
    return Project(project.root)


def imported(text: str) -> dict[str, list[tuple[str, str]]]:
    """PV -> the guidance that Phoebus shows for it, by the rules of its reader: what stands above holds below.

    It refuses a root that is not a `config`, a node without a name, two of one name side by side, and `//` in front;
    the second PV of a name is dropped.
    """
    root = ET.fromstring(text)  # noqa: S314 - our own
    assert root.tag == "config"
    found: dict[str, list[tuple[str, str]]] = {}

    def walk(node: ET.Element, above: list[tuple[str, str]]) -> None:
        names = [child.attrib["name"] for child in node if child.tag in ("component", "pv")]
        assert len(set(names)) == len(names)
        assert not any(name.startswith("//") for name in names)
        said = [(child.findtext("title", ""), child.findtext("details", "")) for child in node.findall("guidance")]
        for child in node:
            if child.tag == "component":
                walk(child, above + said)
            elif child.tag == "pv":
                assert child.attrib["name"] not in found
                found[child.attrib["name"]] = above + said
                assert [child.findtext(tag) for tag in ("enabled", "latching", "annunciating")] == [
                    "true",
                    "true",
                    "false",
                ]
            else:
                assert child.tag == "guidance"

    walk(root, [])
    return found


def records(text: str) -> dict[str, Any]:
    """Key -> record, split as JAWS splits its lines."""
    return {line.split("=", 1)[0]: json.loads(line.split("=", 1)[1]) for line in text.splitlines()}


@pytest.mark.slow
def test_phoebus_shows_at_every_pv_what_the_runbook_says(table: Project) -> None:
    found = imported(phoebus(alarm_tree(table)))
    assert list(found) == ["BPM.1:X:FAULT", "BPM.1:Y:FAULT", "BPM-FAULTS:MONITOR"]
    said = dict(found["BPM.1:X:FAULT"])
    assert said["MAJOR: score above 0.9"] == (
        "The monitor's signal is not beam.\n1. Compare with its neighbours.\n"
        "2. Take the monitor out of the orbit feedback."
    )
    assert said["On call"] == "+1 555 0100"
    book = runbook(gather_facts(table))
    for alarm in table.contract.operations.alarms:
        assert f"{alarm.severity}: {alarm.condition}" in said
        assert alarm.meaning in book
        assert all(step in book for step in alarm.action)


@pytest.mark.parametrize(
    ("ours", "other"),
    [
        ("config", "tree"),
        ("component", "group"),
        ("pv", "PV"),
        ("guidance", "help"),
        ("title", "name"),
        ("details", "detail"),
        ("description", "text"),
        ("enabled", "enable"),
        ("latching", "latch"),
        ("annunciating", "annunciate"),
    ],
)
def test_phoebus_reads_each_element_and_would_pass_over_one_of_another_name(
    table: Project, ours: str, other: str
) -> None:
    text = phoebus(alarm_tree(table))
    assert not unread_in_tree(text)
    root = ET.fromstring(text)  # noqa: S314 - our own
    for element in root.iter(ours):
        element.tag = other
    assert unread_in_tree(ET.tostring(root, encoding="unicode"))


def test_phoebus_would_pass_over_another_attribute(table: Project) -> None:
    assert unread_in_tree(phoebus(alarm_tree(table)).replace("<pv name=", "<pv id=")) == {"pv@id"}


def test_jaws_has_an_action_for_each_output_and_an_instance_for_each_pv(table: Project) -> None:
    found = alarm_tree(table)
    done, there = records(actions(found)), records(instances(found))
    action = done["bpm-faults-score"]
    assert {key: kind.__name__ for key, kind in ((key, type(value)) for key, value in action.items())} == {
        **dict.fromkeys(("category", "priority", "rationale", "correctiveaction"), "str"),
        **dict.fromkeys(("latchable", "filterable"), "bool"),
        **dict.fromkeys(("ondelayseconds", "offdelayseconds"), "NoneType"),
    }
    assert (action["category"], action["priority"]) == ("bpm-faults", "P2_MAJOR")
    assert "**MAJOR: score above 0.9**\n\nThe monitor's signal is not beam." in action["rationale"]
    assert "1. Compare with its neighbours.\n2. Take the monitor" in action["correctiveaction"]
    assert action["correctiveaction"].endswith("**Logbook**\n\n<https://logbook.lab.example>")
    assert list(there) == ["BPM.1:X:FAULT", "BPM.1:Y:FAULT", "BPM-FAULTS:MONITOR"]
    assert {one["action"] for one in there.values()} == set(done)
    assert there["BPM.1:X:FAULT"]["source"] == {"org.jlab.jaws.entity.EPICSSource": {"pv": "BPM.1:X:FAULT"}}


def test_the_laboratorys_own_words_for_category_and_places_are_taken(table: Project) -> None:
    text = (table.root / "contract.yaml").read_text()
    write(
        table, "contract.yaml", text.replace("operations:\n", "operations:\n  category: BPM\n  locations: [INJ, NL]\n")
    )
    found = alarm_tree(Project(table.root))
    assert records(actions(found))["bpm-faults-score"]["category"] == "BPM"
    assert records(instances(found))["BPM.1:X:FAULT"]["location"] == ["INJ", "NL"]


def test_an_alarm_stands_at_the_output_that_raises_it_and_a_stale_input_at_all(table: Project) -> None:
    text = (table.root / "contract.yaml").read_text()
    text = text.replace(
        "  devices:",
        '    - {name: gain, pv: "{device}:GAIN", unit: "1", range: [0, 2], high: 1.5, description: G}\n  devices:',
        1,
    )
    write(table, "contract.yaml", text.replace("[drift]", "[drift, gain.high]"))
    found = {branch.output.name: branch for branch in alarm_tree(Project(table.root)).branches}
    assert found["gain"].pvs == ("BPM.1:GAIN",), "both planes are one PV"
    assert [alarm.condition for alarm in found["gain"].alarms] == ["no answer", "drift"]
    assert "drift" not in [alarm.condition for alarm in found["score"].alarms]


def test_what_a_device_table_holds_is_never_markup(table: Project) -> None:
    write(table, "devices.csv", "device,plane\nSR:C01{BPM<&>},X\nL/2#@$%,Y\n")
    found = alarm_tree(Project(table.root))
    names = ["SR:C01{BPM<&>}:X:FAULT", "L/2#@$%:Y:FAULT", "BPM-FAULTS:MONITOR"]
    assert list(imported(phoebus(found))) == names
    assert list(records(instances(found))) == names


@pytest.mark.parametrize("name", ["BPM 1", 'BPM"1', "BPM=1", "//BPM", "BPM\\1", "BPMé", "B" * 200, "BPM\u202e1"])
def test_a_name_that_no_pv_has_is_refused_with_its_file(table: Project, name: str) -> None:
    (table.root / "devices.csv").write_text(f"device,plane\n'{name}',X\n".replace("'", "" if '"' not in name else "'"))
    with pytest.raises(BadInput) as caught:
        alarm_tree(Project(table.root))
    assert caught.value.file == "devices.csv"


FAULTS = {
    "no table": (("  devices: devices.csv\n", ""), TABLE, "contract.yaml"),
    "no column": (("{plane}", "{axis}"), TABLE, "devices.csv:1"),
    "an empty value": (("", ""), "device,plane\nBPM.1,\n", "devices.csv:2"),
    "a short row": (("", ""), "device,plane\nBPM.1\n", "devices.csv:2"),
    "nothing": (("", ""), "device,plane\n", "devices.csv"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_that_cannot_fill_the_names_is_refused_by_line(table: Project, fault: str) -> None:
    edit, rows, place = FAULTS[fault]
    write(table, "contract.yaml", (table.root / "contract.yaml").read_text().replace(*edit))
    write(table, "devices.csv", rows)
    with pytest.raises(BadInput) as caught:
        alarm_tree(Project(table.root))
    assert str(caught.value).startswith(f"{place}: ")


def test_two_outputs_with_one_pv_are_refused(table: Project) -> None:
    text = (table.root / "contract.yaml").read_text()
    twin = '    - {name: twin, pv: "{device}:{plane}:FAULT", unit: "1", range: [0, 1], description: Twin}\n  devices:'
    write(table, "contract.yaml", text.replace("  devices:", twin, 1))
    with pytest.raises(BadInput, match=r"outputs score and twin have the same PV 'BPM.1:X:FAULT'"):
        alarm_tree(Project(table.root))


def hostile(project: Project, contract_text: str) -> Tree:
    bad = r'"]]>&amp;<x a=\"1\">\u0000\u001b[31m\u202e\n# y|` ```"'
    for good in ("Tell the maintainer.", "The signals have changed.", "condition: drift", '"+1 555 0100"'):
        assert good in contract_text
        contract_text = contract_text.replace(good, f"condition: {bad}" if good.startswith("condition") else bad)
    write(project, "contract.yaml", contract_text.replace("{device}:{plane}:FAULT", "FAULT"))
    return alarm_tree(Project(project.root))


def test_hostile_words_stay_words_and_are_seen(project: Project, contract_text: str) -> None:
    found = hostile(project, contract_text)
    said = dict(imported(phoebus(found, 'Accelerator"<&'))["FAULT"])
    assert said["On call"] == ']]>&amp;<x a="1">⟨U+0000⟩⟨U+202E⟩ # y|` ```'
    assert len(actions(found).splitlines()) == len(instances(found).splitlines()) == 2
    assert actions(found).isascii()
    assert "<x" not in records(actions(found))["bpm-faults-score"]["correctiveaction"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "names"), [("phoebus", ["phoebus.xml"]), ("jaws", ["jaws-actions", "jaws-instances"])]
)
def test_the_command_writes_the_files_of_an_alarm_system(
    table: Project, tmp_path: Path, git: Any, format: str, names: list[str]
) -> None:
    commit(git, "Devices")
    out = tmp_path / "out"
    words = ["alarms", "--format", format, "--project", str(table.root), "--out", str(out), "--json"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout) == {"files": [str(out / name) for name in names], "pvs": 2}
    assert sorted(path.name for path in out.iterdir()) == names
