"""`beampermit new --from-lume`: options that go together, what is told, and that a refusal leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from beampermit.cli.main import app
from beampermit.contract import load_contract
from beampermit.errors import BadInput
from beampermit.generation import lume_project as imported
from support.lume_project import DATA, lume_project


def new(folder: Path, *options: str) -> Result:
    arguments = ["new", "--output-dir", str(folder / "made"), "--no-input", "--no-lock", *options]
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pv-mapping", "pv_mapping.yaml"), "--pv-mapping, --python and --network are about a LUME model"),
        (("--python", "python"), "--pv-mapping, --python and --network are about a LUME model"),
        (("--from-lume", "a.yaml", "--from-table", "b.csv"), "are three ways to begin: give one of them"),
        (("--from-lume", "a.yaml", "--example", "bpm-faults"), "are three ways to begin: give one of them"),
        (("--from-lume", "a.yaml"), "there is no such file"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    result = new(tmp_path, *options)
    assert isinstance(result.exception, BadInput)
    assert message in str(result.exception)
    assert not (tmp_path / "made").exists()


def test_a_wrong_configuration_leaves_nothing_behind(tmp_path: Path) -> None:
    text = (DATA / "model_config.yaml").read_text().replace("TorchScalarVariable", "ScalerVariable")
    (tmp_path / "model_config.yaml").write_text(text)
    result = new(tmp_path, "--from-lume", str(tmp_path / "model_config.yaml"))
    assert isinstance(result.exception, BadInput)
    assert result.exception.problems[0].line == 17
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_the_project_has_the_models_contract_and_what_was_left_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "injector-surrogate-of-lume"
    folder.mkdir()
    found = lume_project(folder)
    given: list[object] = []

    def prepare(*arguments: object) -> imported.LumeProject:
        given.extend(arguments[:4])
        return found

    monkeypatch.setattr(imported, "prepare", prepare)
    options = ("--from-lume", "m.yaml", "--pv-mapping", "p.yaml", "--python", "py", "--network", "n.py", "--json")
    result = new(tmp_path, *options)
    assert result.exit_code == 0, result.output
    assert given == [Path("m.yaml"), Path("p.yaml"), Path("py"), Path("n.py")]
    told = json.loads(result.stdout)
    assert told["lume"]["notes"] == list(found.notes)
    project = Path(told["project"])
    assert project.name == "injector-surrogate-of-lume"
    assert [signal.name for signal in load_contract(project).signals.outputs] == ["otrs-gun-571-xrms", "norm_emit_x"]
    assert (project / "imported/weights.safetensors").is_file()
