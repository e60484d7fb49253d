"""What is made from the contract is what systemd, Kubernetes, EPICS, Phoebus and the archiver take."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from beampermit.cli.main import app
from beampermit.deployment import command, files, kubernetes, units
from beampermit.deployment.deployment import Deployment, deployment_of
from beampermit.deployment.statements import compare
from beampermit.deployment.xml_lines import Element, read_xml
from beampermit.live.access_groups import WRITABLE
from beampermit.live.status_pvs import STATUS_PVS
from beampermit.project import Project
from support.deployed_project import deployed, deployed_repository
from support.phoebus_screen import unknown_on_screen

__all__ = ["deployed", "deployed_repository"]

READS = """
import ctypes, sys
from epicscorelibs.path import get_lib
com = ctypes.CDLL(get_lib("Com"))
sys.exit(com.asInitFile(sys.argv[1].encode(), None))
"""
"""Has EPICS itself read an access security file."""
SURROGATE: dict[str, Any] = {
    "inputs": [
        {"name": "charge", "pv": "INJ:CHARGE", "unit": "pC", "range": [0, 500], "stale_after": "5s"},
        {"name": "gain", "source": "constant", "value": 2.0, "unit": "1", "range": [0, 10]},
    ],
    "outputs": [
        {
            "name": "size",
            "pv": "INJ:SIZE",
            "unit": 'm & "m"',
            "range": [0, 5],
            "high": 1,
            "description": "<its size>",
        },
        {"name": "profile", "pv": "INJ:PROFILE", "shape": [40], "unit": "1", "range": [0, 1]},
    ],
}
"""Without a table of devices: a number and a vector, with text that is markup elsewhere."""


@pytest.fixture(scope="module")
def made(deployed_repository: Path) -> dict[str, str]:
    return files.texts(deployment_of(Project(deployed_repository)))


@pytest.fixture(scope="module")
def surrogate(deployed_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    root = tmp_path_factory.mktemp("surrogate")
    contract = yaml.safe_load((deployed_repository / "contract.yaml").read_text())
    contract |= {"signals": SURROGATE, "serving": {"timeout": "20s", "period": "50ms"}}
    contract["model"] |= {"name": "bpm_faults", "summary": "100% of \\\n'x' & <y>"}
    contract["environment"]["accelerators"] = ["cuda"]
    contract["budget"]["memory"] = 100.4
    (root / "contract.yaml").write_text(yaml.safe_dump(contract))
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return deployment_of(Project(root))


def pod(text: str) -> Any:
    return yaml.safe_load(text)["spec"]["template"]["spec"]


def widgets(text: str) -> list[Element]:
    return [element for element in read_xml(text, "screen").walk() if element.tag == "widget"]


def test_every_file_says_itself_what_it_is_to_say(made: dict[str, str]) -> None:
    for (name, text), kind in zip(made.items(), files.KINDS.values(), strict=True):
        assert list(kind.read(text, name)), f"nothing is compared of {name}"


@pytest.mark.slow
def test_the_command_is_one_of_ours(made: dict[str, str]) -> None:
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {option for parameter in serve.params for option in parameter.opts}
    (line,) = re.findall(r"(?s)ExecStart=(.*?[^\\])\n", made["bpm-faults.service"])
    words = command.split(line.replace("\\\n", " "), "", 1)
    options = command.options_of(words)
    assert options is not None
    assert set(options) <= known
    assert words[0].startswith("/"), "systemd takes no other path"
    container = pod(made["kubernetes.yaml"])["containers"][0]
    assert command.options_of([*container["command"], *container["args"]]).keys() == options.keys()  # type: ignore[union-attr]


@pytest.mark.slow
def test_kubernetes_takes_the_manifest_and_runs_one_server(made: dict[str, str], surrogate: Deployment) -> None:
    for text in (made["kubernetes.yaml"], files.texts(surrogate)["kubernetes.yaml"]):
        kubernetes_validate.validate(yaml.safe_load(text), kubernetes_validate.latest_version(), strict=True)
    manifest = yaml.safe_load(made["kubernetes.yaml"])
    assert (manifest["kind"], manifest["spec"]["replicas"]) == ("StatefulSet", 1)
    container = pod(made["kubernetes.yaml"])["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["resources"]["limits"] == {"memory": "6656Mi"}
    taken = yaml.safe_load(made["kustomization.yaml"])
    (access,) = (one for one in pod(made["kubernetes.yaml"])["volumes"] if one["name"] == "access")
    assert taken["configMapGenerator"] == [{"name": access["configMap"]["name"], "files": ["access.acf"]}]
    assert set(taken["resources"]) | {"access.acf"} <= made.keys()


def test_a_pod_has_names_and_hardware_that_the_contract_asks_for(surrogate: Deployment) -> None:
    text = files.texts(surrogate)["kubernetes.yaml"]
    assert yaml.safe_load(text)["metadata"]["name"] == "bpm-faults", "Kubernetes has no underscores"
    container = pod(text)["containers"][0]
    assert "--model=bpm_faults" in container["args"]
    assert container["resources"]["limits"] == {"memory": "812Mi", "nvidia.com/gpu": 1}


def test_a_unit_says_text_of_people_in_one_line(surrogate: Deployment) -> None:
    made = files.texts(surrogate)
    assert "\nDescription=bpm_faults: 100%% of / 'x' & <y>\n" in made["bpm_faults.service"]
    assert "WatchdogSec=100s" in made["bpm_faults.service"], "five times what a model may take"


@pytest.mark.slow
def test_epics_reads_the_access_file_in_which_nobody_may_write(made: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "access.acf"
    file.write_text(made["access.acf"])
    for text, code in ((made["access.acf"], 0), (made["access.acf"].replace("RULE(1, READ)", "RULE(1 READ)"), 1)):
        file.write_text(text)
        read = subprocess.run([sys.executable, "-c", READS, file], capture_output=True, check=False)
        assert min(read.returncode, 1) == code, read.stderr
    groups = re.findall(r"^UAG\((\w+)\)(.*)", made["access.acf"], re.MULTILINE)
    assert groups == [("limits", ""), ("restart", "")], "a group without names holds nobody"
    assert [group.upper() for group, _ in groups] == list(WRITABLE)


def test_each_name_on_the_screen_is_one_that_another_program_writes_for_phoebus(
    made: dict[str, str], surrogate: Deployment
) -> None:
    for text in (made["bpm-faults.bob"], files.texts(surrogate)["bpm_faults.bob"]):
        assert not unknown_on_screen(text)


@pytest.mark.parametrize(
    ("ours", "other"),
    [
        ('<display version="2.0.0">', '<display version="3.0.0">'),
        ('type="action_button" version="3.0.0"', 'type="action_button" version="2.0.0"'),
        ('type="textupdate"', 'type="textUpdate"'),
        ("pv_name>", "pv>"),
        ("show_confirm_dialog>", "confirm_dialog>"),
        ("<format>6<", "<format>5<"),
        ('style="BOLD"', 'style="bold"'),
        ('<action type="open_file">', '<action type="open">'),
        ("file>", "path>"),
        ("url>", "link>"),
        ("y_axis>", "axis>"),
        ("autoscale>", "auto_scale>"),
        ("y_pv>", "y>"),
    ],
)
def test_a_name_that_phoebus_would_pass_over_is_found(surrogate: Deployment, ours: str, other: str) -> None:
    text = files.texts(surrogate)["bpm_faults.bob"]
    assert ours in text
    assert unknown_on_screen(text.replace(ours, other))


def test_the_button_that_starts_the_model_again_asks_first(made: dict[str, str]) -> None:
    (button,) = (one for one in widgets(made["bpm-faults.bob"]) if one.of("pv_name") == "BPM-FAULTS:RESTART")
    assert button.of("show_confirm_dialog") == "true"
    assert button.of("confirm_message").startswith("The process of the model is replaced")


def test_widgets_of_the_screen_lie_side_by_side(made: dict[str, str], surrogate: Deployment) -> None:
    for text in (made["bpm-faults.bob"], files.texts(surrogate)["bpm_faults.bob"]):
        root = read_xml(text, "screen")
        places = Counter[tuple[int, int]]()
        for widget in widgets(text):
            x, y, width, height = (int(widget.of(tag)) for tag in ("x", "y", "width", "height"))
            assert x + width <= int(root.of("width"))
            assert y + height <= int(root.of("height"))
            places[x, y] += 1
        assert max(places.values()) == 1


def test_the_screen_shows_each_device_each_status_and_the_limits(made: dict[str, str]) -> None:
    shown = Counter(widget.of("pv_name") for widget in widgets(made["bpm-faults.bob"]))
    for device in ("BPM1:X", "BPM1:Y", "BPM2:X"):
        assert shown[f"{device}:FAULT"] == 1
    # Channel access alone would cut texts at 40 characters.
    assert {f"BPM-FAULTS:{pv.name}{'.VAL$' if pv.kind == 'text' else ''}" for pv in STATUS_PVS} <= shown.keys()
    labels = {widget.of("text") for widget in widgets(made["bpm-faults.bob"])}
    assert {"BPM1:X", "score", "high 0.5 MINOR, hihi 0.9 MAJOR"} <= labels
    assert made["bpm-faults.bob"].count(">RUNBOOK.html<") == 1


def test_an_output_of_its_own_shows_its_limits_as_they_are_and_a_vector_is_drawn(surrogate: Deployment) -> None:
    text = files.texts(surrogate)["bpm_faults.bob"]
    shown = {widget.of("pv_name") for widget in widgets(text)}
    assert {"INJ:SIZE", "INJ:SIZE.LOLO", "INJ:SIZE.HIHI", "INJ:PROFILE"} <= shown
    assert [element.text for element in read_xml(text, "").walk() if element.tag == "y_pv"] == ["INJ:PROFILE"]
    assert '<its size> [m & "m"], from 0 to 5' in {widget.of("tooltip") for widget in widgets(text)}


def test_the_archiver_gets_outputs_as_they_change_and_slow_samples_of_what_always_moves(
    made: dict[str, str], surrogate: Deployment
) -> None:
    entries = {entry["pv"]: entry for entry in json.loads(made["archiver.json"])}
    assert entries["BPM1:X:FAULT"] == {"pv": "BPM1:X:FAULT", "samplingmethod": "MONITOR", "samplingperiod": "1"}
    assert entries["BPM-FAULTS:HEARTBEAT"]["samplingmethod"] == "SCAN"
    assert entries["BPM-FAULTS:STATUS"]["samplingmethod"] == "MONITOR"
    assert "BPM-FAULTS:RESTART" not in entries
    (fast, *_) = json.loads(files.texts(surrogate)["archiver.json"])
    assert fast == {"pv": "INJ:SIZE", "samplingmethod": "MONITOR", "samplingperiod": "0.1"}, "a row each 50 ms"


def test_the_monitor_runs_beside_the_service_on_its_log_and_its_results_are_shown(made: dict[str, str]) -> None:
    unit, served = made["bpm-faults-monitor.service"], made["bpm-faults.service"]
    words = command.split(re.sub(r"\\\n\s*", "", unit).partition("ExecStart=")[2].partition("\n")[0], "unit", 1)
    watched = command.options_of(words, command.MONITOR)
    assert watched is not None
    serving = command.options_of(command.split(re.sub(r"\\\n\s*", "", served), "unit", 1))
    assert serving is not None
    assert (watched["--log"], watched["--state"]) == (serving["--log"], serving["--monitor"])
    assert set(watched) <= options_of_command("monitor")
    for setting in ("DynamicUser=yes", "StateDirectory=bpm-faults\n"):
        assert setting in unit
        assert setting in served
    assert "User=bpm-faults\n" in unit  # the name that systemd gives the service's own user
    serve, monitor = pod(made["kubernetes.yaml"])["containers"]
    assert f"--log={kubernetes.STATE}/log" in set(serve["args"]) & set(monitor["args"])
    assert f"--monitor={kubernetes.STATE}/monitor" in serve["args"]
    assert f"--state={kubernetes.STATE}/monitor" in monitor["args"]


@pytest.mark.slow
def test_the_monitor_gets_the_truth_that_the_contract_names_and_a_file_without_is_told(
    surrogate: Deployment, made: dict[str, str]
) -> None:
    monitoring = surrogate.contract.monitoring.model_copy(update={"truth": "data/truth.csv"})
    contract = surrogate.contract.model_copy(update={"monitoring": monitoring})
    judged = files.texts(replace(surrogate, contract=contract))
    (line,) = re.findall(r"(?s)ExecStart=(.*?[^\\])\n", judged["bpm_faults-monitor.service"])
    watched = command.options_of(command.split(line.replace("\\\n", " "), "", 1), command.MONITOR)
    assert watched
    assert watched["--truth"] == "/var/lib/bpm_faults/truth/truth.csv"
    assert set(watched) <= options_of_command("monitor")
    assert f"--truth={kubernetes.STATE}/truth/truth.csv" in pod(judged["kubernetes.yaml"])["containers"][1]["args"]
    for kind in ("{name}-monitor.service", "kubernetes.yaml"):
        read, file = files.KINDS[kind].read, kind.format(name="bpm_faults")
        assert not [*compare(file, read(judged[file], file), read(judged[file], file), surrogate.is_gone)]
        former = files.texts(surrogate)[file]
        (problem,) = compare(file, read(former, file), read(judged[file], file), surrogate.is_gone)
        assert problem.message == "--truth of the monitor is missing"
    assert "--truth" not in made["bpm-faults-monitor.service"] + made["kubernetes.yaml"]


def test_a_monitor_that_reads_truth_pvs_may_ask_for_network_interfaces(surrogate: Deployment) -> None:
    outputs = tuple(one.model_copy(update={"target_pv": "LATER"}) for one in surrogate.contract.signals.outputs)
    signals = surrogate.contract.signals.model_copy(update={"outputs": outputs})
    reading = replace(surrogate, contract=surrogate.contract.model_copy(update={"signals": signals}))
    for deployment, families in ((surrogate, ""), (reading, " AF_NETLINK")):
        lines = units.monitor(deployment).splitlines()
        assert f"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6{families}" in lines
        assert "SystemCallArchitectures=native" in lines


def test_the_monitor_alone_gets_what_tells_others_and_runs_without(made: dict[str, str]) -> None:
    files = re.findall(r"^EnvironmentFile=(.*)$", made["bpm-faults-monitor.service"], re.MULTILINE)
    assert files == ["/etc/bpm-faults/serve.env", "-/etc/beampermit/bpm-faults-monitor.env"], "a dash: it may be absent"
    assert "monitor.env" not in made["bpm-faults.service"]
    serve, monitor = pod(made["kubernetes.yaml"])["containers"]
    own = {"secretRef": {"name": "bpm-faults-monitor", "optional": True}}
    assert monitor["envFrom"] == [*serve["envFrom"], own]
    assert own not in serve["envFrom"]


def options_of_command(name: str) -> set[str]:
    group: Any = get_command(app)
    return {option for parameter in group.commands[name].params for option in parameter.opts}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bpm-faults-monitor.service", "kubernetes.yaml"])
def test_a_monitor_of_another_model_is_told(deployed: Project, name: str) -> None:
    file = deployed.root / "deploy" / name
    before, monitor, after = file.read_text().partition("monitor\n" if "yaml" in name else "beampermit monitor")
    file.write_text(before + monitor + after.replace("bpm-faults", "other", 1 if "service" in name else 3))
    (problem,) = files.problems(deployed, "deploy", deployment_of(deployed))[f"{name}"]
    assert problem.message == "--model of the monitor is other, not bpm-faults"
