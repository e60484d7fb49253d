"""The contract of a LUME model: every signal under a name of its own, and what only a person knows marked TODO."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.contract import Contract, load_contract
from beampermit.contract.load import parse_contract
from beampermit.generation.answers import complete
from beampermit.generation.drafting import contract_text
from beampermit.generation.lume_project import WEIGHTS, LumeProject, draft
from support.lume_project import DATA, lume_project


def contract_of(found: LumeProject) -> Contract:
    return parse_contract(contract_text(draft(found), complete({})))


@pytest.mark.slow
def test_signals_are_those_of_the_model(tmp_path: Path) -> None:
    signals = contract_of(lume_project(tmp_path)).signals
    assert [(s.name, s.source, s.pv, s.value, s.unit, s.range, s.default, s.stale_after) for s in signals.inputs] == [
        ("soln-gun-121-bctrl", "pv", "SOLN:GUN:121:BACT", None, "kG*m", (0.3774, 0.4984), 0.4779, 5),
        ("quad-gun-122-bctrl", "derived", None, None, "kG", (-0.021, 0.021), None, None),
        ("accl-gun-300-ades", "constant", None, 58, "MV", pytest.approx((52.2, 63.8)), None, None),
        ("pulse_length", "pv", "LASR:GUN:1:PULSE", None, "1", (1.818, 7.272), 1.855, 5),
    ]
    assert "QUAD:GUN:122:BACT + QUAD:GUN:122:BTRIM" in signals.inputs[1].description
    assert [(s.name, s.pv, s.unit, s.target) for s in signals.outputs] == [
        ("otrs-gun-571-xrms", "SIOC:ML:XRMS", "m", "otrs-gun-571-xrms"),
        ("norm_emit_x", "norm_emit_x", "1", "norm_emit_x"),
    ]


@pytest.mark.slow
def test_an_outputs_range_is_its_own_or_wider_than_the_models_answers(tmp_path: Path) -> None:
    config = (DATA / "model_config.yaml").read_text().replace("[-.inf, .inf]", "[-2.0, 2.0]")
    first, second = contract_of(lume_project(tmp_path, config=config)).signals.outputs
    assert first.range[0] <= 0.5e-4
    assert first.range[1] == pytest.approx(2.5e-4)
    assert second.range == (-2, 2)


@pytest.mark.slow
def test_without_a_mapping_names_are_the_pvs(tmp_path: Path) -> None:
    found = lume_project(tmp_path, mapped=False)
    signals = contract_of(found).signals
    assert [s.pv for s in signals.inputs] == ["SOLN:GUN:121:BCTRL", "QUAD:GUN:122:BCTRL", None, "Pulse_length"]
    text = contract_text(draft(found), complete({}))
    assert "# TODO PVs: these names look like none, and there was no mapping: pulse_length." in text


def test_what_was_left_out_stands_in_the_contract_and_is_marked(tmp_path: Path) -> None:
    text = " ".join(contract_text(draft(lume_project(tmp_path)), complete({})).split()).replace("# ", "")
    assert "model_config.yaml:12: QUAD:GUN:122:BCTRL: default_value -0.0301 is outside its value_range" in text
    assert "pv_mapping.yaml:21: 'SIOC:ML:EMITX' shows 'norm_emit_x * 1000000.0'" in text
    assert "TODO units, which the configuration does not have: pulse_length." in text


def test_files_are_written_and_the_weights_may_be_in_git(tmp_path: Path) -> None:
    found = lume_project(tmp_path)
    answers = complete({})
    project = tmp_path / "project"
    found.fill(project, answers)
    assert (project / WEIGHTS).read_bytes() == found.files[WEIGHTS]
    assert (project / "src" / answers["package_name"] / "network.py").read_text() == found.imported.network.network
    assert list(load_contract(project).dataset.in_git or ()) == [WEIGHTS]


@pytest.mark.slow
def test_names_with_signs_of_yaml_come_back_as_they_are(tmp_path: Path) -> None:
    config = (DATA / "model_config.yaml").read_text().replace("Pulse_length:", "'Pulse \"{x}\": #length':")
    contract = contract_of(lume_project(tmp_path, config=config, mapped=False))
    assert contract.signals.inputs[3].pv == 'Pulse "{x}": #length'


def test_notes_say_what_was_left_out_and_how_well_the_weights_were_converted(tmp_path: Path) -> None:
    *left_out, compared = lume_project(tmp_path).notes
    assert [note.rpartition("; ")[2] for note in left_out] == ["left out"] * 3
    assert left_out[0].startswith(f"{tmp_path}/model_config.yaml:12: QUAD:GUN:122:BCTRL: default_value")
    assert compared == "2000 answers of the saved network are the same to 0 of the largest."


def test_a_new_project_has_the_folders_name_where_nobody_gives_another(tmp_path: Path) -> None:
    folder = tmp_path / "LCLS Cu injector"
    folder.mkdir()
    defaults = lume_project(folder).defaults
    assert defaults["project_slug"] == "lcls-cu-injector"
    assert complete(defaults)["summary"].startswith("TODO what the model tells")


@pytest.mark.slow
def test_a_name_with_signs_that_end_lines_stays_in_its_comment(tmp_path: Path) -> None:
    name = "pulse\\u2028model: {name: other}\\x85x"
    config = (DATA / "model_config.yaml").read_text().replace("Pulse_length:", f'"{name}":')
    found = lume_project(tmp_path, config=config, mapped=False)
    text = contract_text(draft(found), complete({}))
    assert any("unknown key 'units'" in line and line.lstrip().startswith("#") for line in text.splitlines())
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    contract = contract_of(found)
    assert contract.model.name == complete({})["project_slug"]
    assert contract.signals.inputs[3].pv == found.model.inputs[3].name
