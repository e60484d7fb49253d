"""`model_config.yaml` as LUME documents it: what is read, what is told and left out, and what is refused by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.generation.lume import LumeModel, Variable, load_lume

SAMPLE = Path(__file__).parents[2] / "data/lume/model_config.yaml"
FILES = ("model.pt", "input_transformers_0.pt", "output_transformers_0.pt")
Load = Callable[[str], LumeModel]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads this text as a configuration, with all its files beside it."""
    for name in FILES:
        (tmp_path / name).write_bytes(b"")

    def read(text: str) -> LumeModel:
        file = tmp_path / "model_config.yaml"
        file.write_text(text, encoding="utf-8")
        return load_lume(file)

    return read


@pytest.fixture
def sample() -> str:
    return SAMPLE.read_text(encoding="utf-8")


def refusal(load: Load, text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        load(text)
    return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]


def test_signals_keep_range_unit_default_and_constant(load: Load, sample: str) -> None:
    model = load(sample)
    assert [(v.slug, v.unit, v.span, v.default, v.constant) for v in model.inputs] == [
        ("soln-gun-121-bctrl", "kG*m", (0.3774, 0.4984), 0.4779, False),
        ("quad-gun-122-bctrl", "kG", (-0.021, 0.021), None, False),
        ("accl-gun-300-ades", "MV", None, 58.0, True),
        ("pulse_length", None, (1.818, 7.272), 1.855, False),
    ]
    assert [(v.slug, v.unit, v.span) for v in model.outputs] == [
        ("otrs-gun-571-xrms", "m", None),
        ("norm_emit_x", None, None),
    ]
    assert [path.name for path in (model.model, *model.input_transformers, *model.output_transformers)] == list(FILES)


def test_what_contradicts_itself_is_told_with_its_line_and_left_out(load: Load, sample: str) -> None:
    assert [f"{problem.line}: {problem.message}" for problem in load(sample).left_out] == [
        "12: QUAD:GUN:122:BCTRL: default_value -0.0301 is outside its value_range [-0.021, 0.021]",
        "26: Pulse_length: unknown key 'units'; did you mean 'unit'?",
    ]


def test_a_default_at_the_end_of_its_range_is_inside(load: Load, sample: str) -> None:
    just_inside = load(sample.replace("default_value: -0.0301", "default_value: -0.021"))
    assert just_inside.inputs[1].default == -0.021
    just_outside = load(sample.replace("default_value: -0.0301", "default_value: -0.02100002"))
    assert just_outside.inputs[1].default is None


def test_a_torch_module_holds_the_model(load: Load, sample: str) -> None:
    inner = "".join(f"  {line}\n" for line in sample.splitlines())
    order = "input_order: [Pulse_length, ACCL:GUN:300:ADES, QUAD:GUN:122:BCTRL, SOLN:GUN:121:BCTRL]\n"
    module = f"model_class: TorchModule\n{order}model:\n{inner}"
    assert load(module).inputs[0].name == "SOLN:GUN:121:BCTRL"
    assert refusal(load, module.replace("Pulse_length, ", "", 1)) == [
        "2: input_order has 3 names, and there are 4 variables"
    ]
    assert refusal(load, module.replace("[Pulse_length", "[Pulse_lenght")) == [
        "2: input_order: there is no variable 'Pulse_lenght'; did you mean 'Pulse_length'?"
    ]


SOLENOID = "SOLN:GUN:121:BCTRL"
QUIET_ENDS = "an input needs a value_range with two different finite ends, or `read_only: true`"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("Class: TorchModel", "Class: TorchModell", "2: {}: unknown class 'TorchModell'; did you mean 'TorchModel'?"),
        ("Class: TorchModel", "Class: GPModel", "2: {}: GPModel is not imported, only TorchModel and TorchModule"),
        ("Class: TorchModel\n", "\n", "3: {}: this key is missing"),
    ],
)
def test_an_unknown_class_of_model_is_refused(load: Load, sample: str, before: str, after: str, message: str) -> None:
    assert before.replace("Class", "model_class") in sample
    changed = sample.replace(before.replace("Class", "model_class"), after.replace("Class", "model_class"))
    assert refusal(load, changed) == [message.replace("{}", "model_class")]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("ScalerVariable", "unknown class 'ScalerVariable'; did you mean 'ScalarVariable'?"),
        ("TorchNDVariable", "TorchNDVariable is not imported, only ScalarVariable and TorchScalarVariable"),
    ],
)
def test_an_unknown_class_of_a_variable_is_refused(load: Load, sample: str, written: str, message: str) -> None:
    changed = sample.replace("TorchScalarVariable", written)
    assert refusal(load, changed) == [f"17: ACCL:GUN:300:ADES: variable_class: {message}"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("[0.3774]", "7: {}: value_range has 1 numbers, not two"),
        ("[0.3, 0.4, 0.5]", "7: {}: value_range has 3 numbers, not two"),
        ("[0.4984, 0.3774]", "7: {}: value_range [0.4984, 0.3774] is empty or reversed"),
        ("[.nan, 1]", "7: {}: value_range [nan, 1] is empty or reversed"),
        ("[low, high]", "7: {}: value_range is two numbers, [lowest, highest]"),
        ("[true, 1]", "7: {}: value_range is two numbers, [lowest, highest]"),
        ("[-.inf, .inf]", f"7: {{}}: {QUIET_ENDS}"),
        ("[0, .inf]", f"7: {{}}: {QUIET_ENDS}"),
        ("null", f"7: {{}}: {QUIET_ENDS}"),
    ],
)
def test_a_range_that_is_none_is_refused(load: Load, sample: str, written: str, message: str) -> None:
    assert refusal(load, sample.replace("[0.3774, 0.4984]", written)) == [message.format(SOLENOID)]


def test_an_input_without_range_is_refused_at_its_name(load: Load, sample: str) -> None:
    assert refusal(load, sample.replace("    value_range: [0.3774, 0.4984]\n", "")) == [f"4: {SOLENOID}: {QUIET_ENDS}"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("[0.4, 0.5]", "default_value has 2 values, and a scalar has one"),
        (".nan", "default_value nan is not a finite number"),
        ("true", "default_value True is not a finite number"),
        (f"1{'0' * 400}", f"default_value 1{'0' * 400} is not a finite number"),
    ],
)
def test_a_default_that_is_no_number_is_refused(load: Load, sample: str, written: str, message: str) -> None:
    assert refusal(load, sample.replace("0.4779", written)) == [f"6: {SOLENOID}: {message}"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("default_value: 58.0", "default_value: 59.0", "18: {} is constant, but default_value 59 is outside"),
        ("default_value: 58.0\n    value_range: [58.0, 58.0]", "read_only: true", "16: {}: a constant needs its value"),
        ("unit: MV", "read_only: perhaps", "20: {}: read_only is true or false, not 'perhaps'"),
        ("unit: MV", "read_only: true\n    is_constant: false", "21: {}: read_only and is_constant"),
    ],
)
def test_a_constant_has_one_value(load: Load, sample: str, before: str, after: str, message: str) -> None:
    assert before in sample
    assert refusal(load, sample.replace(before, after))[0].startswith(message.format("ACCL:GUN:300:ADES"))


def test_a_constant_may_be_read_only_within_a_range_or_be_its_equal_ends(load: Load, sample: str) -> None:
    read_only = load(sample.replace("[58.0, 58.0]", "[50.0, 60.0]\n    read_only: true")).inputs[2]
    assert (read_only.constant, read_only.default, read_only.span) == (True, 58.0, (50.0, 60.0))
    assert load(sample.replace("    default_value: 58.0\n", "")).inputs[2].default == 58.0


@pytest.mark.slow
def test_names_are_different_in_the_contract_too(load: Load, sample: str) -> None:
    assert refusal(load, sample.replace("  norm_emit_x: {", "  pulse-length: {")) == [
        "29: 'pulse-length' and 'Pulse_length' of line 21 are both 'pulse-length' in a contract"
    ]
    assert refusal(load, sample.replace("  norm_emit_x: {", "  Pulse_length: {")) == [
        "29: 'Pulse_length' has the name of line 21"
    ]
    twice = refusal(load, sample.replace("  norm_emit_x: {", "  OTRS:GUN:571:XRMS: {"))
    assert twice[0].startswith('29: not YAML: found duplicate key "OTRS:GUN:571:XRMS"')
    longer = sample.replace("norm_emit_x", "n" * 65).replace("Pulse_length", "n" * 66)
    assert refusal(load, longer)[0].endswith(f"of line 21 are both '{'n' * 64}' in a contract")


def test_files_of_the_network_must_be_there(load: Load, sample: str) -> None:
    assert refusal(load, sample.replace("model: model.pt", "model: gone.pt"))[0].startswith(
        "32: model: there is no file"
    )
    assert refusal(load, sample.replace("model: model.pt\n", "")) == ["2: model: there is no file of the network"]
    assert refusal(load, sample.replace("[input_transformers_0.pt]", "[3]")) == [
        "33: input_transformers: this must be the path of a file"
    ]


def test_precision_is_double_or_single(load: Load, sample: str) -> None:
    assert load(sample.replace("precision: double\n", "")).precision == "double"
    assert refusal(load, sample.replace("precision: double", "precision: half")) == [
        "38: precision: 'half' is neither double nor single"
    ]


def test_every_wrong_line_is_named_at_once(load: Load, sample: str) -> None:
    wrong = sample.replace("[0.3774, 0.4984]", "[1, 0]").replace(
        "variable_class: TorchScalarVariable", "dtype: float32"
    )
    assert [line.partition(":")[0] for line in refusal(load, wrong)] == ["7", "16"]


@pytest.mark.parametrize("text", ["", "[]", "input_variables: *gone", "\x00", "model_class: TorchModel"])
def test_what_is_no_configuration_is_refused(load: Load, text: str) -> None:
    with pytest.raises(BadInput):
        load(text)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file"):
        load_lume(tmp_path / "model_config.yaml")
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * (2**22 + 1))
    with pytest.raises(BadInput, match="larger than 4194304 bytes"):
        load_lume(file)


def test_a_signal_has_not_the_name_of_a_column_that_every_table_has() -> None:
    assert [Variable(name=name, line=1).slug for name in ("sample", "Origin", "x")] == ["sample-2", "origin-2", "x"]
