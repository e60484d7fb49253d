"""Weights of a LUME model, converted by the Python of another environment: the same answers, and no code is run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from beampermit.environments.environment import python_in
from beampermit.errors import BadInput, Outside
from beampermit.generation import lume_weights
from beampermit.generation.lume import LumeModel, load_lume
from beampermit.processes import run

pytestmark = pytest.mark.slow
SAMPLE = Path(__file__).parents[2] / "data/lume/model_config.yaml"
MAKE = Path(__file__).parents[2] / "support/lume_files.py"
WORKER = Path(lume_weights.WORKER)
SAFE = "what is imported is a dictionary of weights (state_dict), or layers of torch.nn in a Sequential"


@pytest.fixture(scope="session")
def python(_trained_folder: Path) -> Path:
    """The interpreter of an environment with torch."""
    return python_in((_trained_folder / "environment").resolve())


@pytest.fixture(scope="session")
def files(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model's files, hostile ones, and `said.json`: what the worker says to each."""
    folder = tmp_path_factory.mktemp("lume")
    made = run((python, "-I", MAKE, WORKER, folder), cwd=folder)
    assert made.code == 0, made.err
    return folder


@pytest.fixture
def model(files: Path) -> LumeModel:
    (files / "model_config.yaml").write_bytes(SAMPLE.read_bytes())
    return load_lume(files / "model_config.yaml")


def test_the_converted_network_answers_as_the_saved_one(
    model: LumeModel, files: Path, python: Path, tmp_path: Path
) -> None:
    imported = lume_weights.convert(model, tmp_path / "imported", python)
    assert imported.network.compared == ("network",)
    assert imported.network.difference == pytest.approx(0, abs=1e-12)
    weights = load_file(tmp_path / "imported/weights.safetensors")
    assert {name: values.shape for name, values in weights.items()} == {
        "0.weight": (8, 4),
        "0.bias": (8,),
        "3.0.weight": (2, 8),
    }
    scaling = json.loads((tmp_path / "imported/scaling.json").read_text())
    assert scaling["inputs"] == [variable.slug for variable in model.inputs]
    # The same by hand: (x - offset) / coefficient, two layers, and the reverse of the outputs' transformer.
    x = lume_weights.samples(model)
    before, after = scaling["before"][0], scaling["after"][0]
    hidden = (x - before["offset"]) / before["coefficient"] @ weights["0.weight"].T + weights["0.bias"]
    hidden = np.where(hidden > 0, hidden, 0.7 * np.expm1(np.minimum(hidden, 0)))
    answers = hidden @ weights["3.0.weight"].T * after["coefficient"] + after["offset"]
    spans = np.stack([answers.min(axis=0), answers.max(axis=0)], axis=1)
    assert np.allclose(imported.spans, spans, rtol=1e-9)
    assert "nn.ELU(alpha=0.7)" in imported.network.network
    assert not (files / "ran").exists()


def test_samples_are_within_ranges_and_constants_stay(model: LumeModel) -> None:
    x = lume_weights.samples(model, 100)
    assert x.shape == (100, 4)
    assert np.ptp(x[:, 2]) == 0
    assert x[0, 2] == 58.0
    for column in (0, 1, 3):
        span = model.inputs[column].span
        assert span is not None
        assert span[0] <= x[:, column].min() < x[:, column].max() <= span[1]


@pytest.mark.attack(
    guard="`beampermit new --from-lume`",
    tried="weights that are a pickle which runs a command when it is read",
    said="which is code and is not run",
)
def test_a_pickle_that_runs_a_command_is_refused_and_not_run(files: Path, said: str) -> None:
    answer = json.loads((files / "said.json").read_text())
    assert answer["hostile.pt"] == f"this file names {os.name}.system, {said}; {SAFE}"
    assert said in answer["hostile-transformer.pt"]
    assert answer["hostile-plain.pt"] == f"this is no file of torch.save; {SAFE}"
    assert not (files / "ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("module-of-own.pt", f"this file names __main__.Own, which is code and is not run; {SAFE}"),
        ("script.pt", f"this is TorchScript, which is a program; {SAFE}"),
        ("text.pt", f"this is no file of torch.save; {SAFE}"),
        ("number.pt", f"this file holds a float; {SAFE}"),
        ("names.pt", f"'epoch' is not a tensor; {SAFE}"),
        ("empty.pt", "this file has no weights"),
        ("hooked.pt", "the layer Linear has hooks, which are code"),
        ("infinite.pt", "the tensor 'weight' has values that are not finite"),
        ("five-inputs.pt", "the network takes no 4 inputs: "),
        ("three-outputs.pt", "the network gives [3] numbers for a row, and there are 2 outputs"),
        ("state.pt", "this file has weights without layers; name a Python file with a function network()"),
        ("record.pt", "alpha is {'a': 1}, which is not imported"),
        ("transformer-of-three.pt", "this transformer is for 3 variables, and there are 4"),
        ("transformer-of-zero.pt", "this transformer has a coefficient that is zero or not finite"),
        ("transformer-linear.pt", "this file names torch.nn.modules.linear.Linear, which is code and is not run"),
    ],
)
def test_files_that_are_not_imported_say_why(files: Path, name: str, message: str) -> None:
    answer = json.loads((files / "said.json").read_text())[name]
    assert message in answer


def test_weights_alone_fit_the_layers_of_a_python_file(files: Path) -> None:
    said = json.loads((files / "said.json").read_text())
    assert said["state.pt with network.py"] is None
    assert said["state.pt with another network.py"].startswith("its weights do not fit network(): ")
    assert said["state.pt with broken network.py"] == "network() cannot be made: name 'nn' is not defined"


def test_an_interpreter_without_torch_or_none_at_all_is_told(model: LumeModel, tmp_path: Path) -> None:
    import sys

    with pytest.raises(BadInput, match="this Python has no torch: No module named 'torch'") as caught:
        lume_weights.convert(model, tmp_path / "imported", Path(sys.executable))
    assert caught.value.hint == "beampermit new --from-lume FILE --python PYTHON"
    with pytest.raises(Outside, match="is not on this machine"):
        lume_weights.convert(model, tmp_path / "imported", tmp_path / "python")
    assert not (tmp_path / "imported").exists()
