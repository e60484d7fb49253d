"""`pv_mapping.yaml`: a PV, a formula of several or a number make an input; what does not fit is refused by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.generation.lume import load_lume
from beampermit.generation.lume_mapping import PvMapping, Source, load_mapping

DATA = Path(__file__).parents[2] / "data/lume"
SAMPLE = (DATA / "pv_mapping.yaml").read_text(encoding="utf-8")
Load = Callable[[str], PvMapping]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads this text as the mapping of the sample's model."""
    for name in ("model.pt", "input_transformers_0.pt", "output_transformers_0.pt"):
        (tmp_path / name).write_bytes(b"")
    config = tmp_path / "model_config.yaml"
    config.write_bytes((DATA / "model_config.yaml").read_bytes())
    model = load_lume(config)

    def read(text: str) -> PvMapping:
        file = tmp_path / "pv_mapping.yaml"
        file.write_text(text, encoding="utf-8")
        return load_mapping(file, model)

    return read


def test_a_pv_a_formula_and_a_number_are_told_apart(load: Load) -> None:
    mapping = load(SAMPLE)
    assert mapping.inputs == {
        "SOLN:GUN:121:BCTRL": Source(pv="SOLN:GUN:121:BACT"),
        "QUAD:GUN:122:BCTRL": Source(
            formula="QUAD:GUN:122:BACT + QUAD:GUN:122:BTRIM", symbols=("QUAD:GUN:122:BACT", "QUAD:GUN:122:BTRIM")
        ),
        "ACCL:GUN:300:ADES": Source(value=58.0),
        "Pulse_length": Source(pv="LASR:GUN:1:PULSE"),
    }
    assert mapping.outputs == {"OTRS:GUN:571:XRMS": "SIOC:ML:XRMS"}
    assert [f"{problem.line}: {problem.message}" for problem in mapping.left_out] == [
        "21: 'SIOC:ML:EMITX' shows 'norm_emit_x * 1000000.0': an output's PV shows the output itself"
    ]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "  Pulse_length:",
            "  Pulse_lenght:",
            "13: the model has no input 'Pulse_lenght'; did you mean 'Pulse_length'?",
        ),
        (
            "symbols: [norm_emit_x]\n    formula: norm_emit_x *",
            "symbols: [norm_emit_y]\n    formula: norm_emit_y *",
            "21: the model has no output 'norm_emit_y'; did you mean 'norm_emit_x'?",
        ),
        ("  Pulse_length:", "  ACCL:GUN:300:ADES:", '13: not YAML: found duplicate key "ACCL:GUN:300:ADES"'),
        (
            "LASR:GUN:1:PULSE",
            "SOLN:GUN:121:BACT",
            "13: the PV 'SOLN:GUN:121:BACT' is both 'SOLN:GUN:121:BCTRL' and 'Pulse_length'",
        ),
        ("58.0", "58.5", "11: 'ACCL:GUN:300:ADES' is 58.5 here, and constant 58 in line 16 of model_config.yaml"),
        ('"58.0"', "1e999", "11: 'ACCL:GUN:300:ADES': the formula 'inf' is not a number, and there are no symbols"),
        ('"58.0"', "fifty", "11: 'ACCL:GUN:300:ADES': the formula 'fifty' is not a number, and there are no symbols"),
        (
            "symbols: [LASR:GUN:1:PULSE]\n    formula: LASR:GUN:1:PULSE",
            "formula: 7.3",
            "13: 'Pulse_length' is 7.3, outside its value_range [1.818, 7.272]",
        ),
        ("BACT, QUAD:GUN:122:BTRIM]", "BACT, QUAD:GUN:122:BACT]", "8: 'QUAD:GUN:122:BCTRL': the symbol"),
        ("+ QUAD:GUN:122:BTRIM", "+ QUAD:GUN:122:BTRIM2", "9: 'QUAD:GUN:122:BCTRL': the formula does not use"),
        ("norm_emit_x * 1000000.0", "OTRS:GUN:571:XRMS", "23: 'SIOC:ML:EMITX': the formula does not use the symbol"),
        (
            "[norm_emit_x]\n    formula: norm_emit_x * 1000000.0",
            "[OTRS:GUN:571:XRMS]\n    formula: OTRS:GUN:571:XRMS",
            "21: the output 'OTRS:GUN:571:XRMS' has the PVs 'SIOC:ML:XRMS' and 'SIOC:ML:EMITX'",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_refused_by_line(load: Load, before: str, after: str, message: str) -> None:
    assert before in SAMPLE
    with pytest.raises(BadInput) as caught:
        load(SAMPLE.replace(before, after))
    first = caught.value.problems[0]
    assert f"{first.line}: {first.message}".startswith(message)


def test_an_input_without_an_entry_and_an_unread_constant_are_told(load: Load) -> None:
    shorter = SAMPLE.replace('    formula: "58.0"', "    symbols: [ACCL:GUN:300:AACT]")
    shorter = shorter.replace("  Pulse_length:\n    symbols: [LASR:GUN:1:PULSE]\n    formula: LASR:GUN:1:PULSE\n", "")
    mapping = load(shorter)
    assert [problem.message for problem in mapping.left_out][:2] == [
        "'ACCL:GUN:300:ADES' is constant in the model, so its PVs are not read",
        "the input 'Pulse_length' has no entry, so its own name is its PV",
    ]
    assert "ACCL:GUN:300:ADES" not in mapping.inputs


@pytest.mark.parametrize("text", ["", "[]", "inputs: {}", "input_variables: 3", "input_variables: {Pulse_length: 3}"])
def test_what_is_no_mapping_is_refused(load: Load, text: str) -> None:
    with pytest.raises(BadInput):
        load(text)
