"""MDL fails for each file that is not what git binds, not of an allowed format, or not what the contract promises."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from beampermit.contract import parse_contract
from beampermit.digest import digest_file
from beampermit.environments.backend import Lock, Package
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.model import MDL003, MDL004, MDL005, Examined
from beampermit.interlocks.runner import check
from beampermit.live.replay.moments import Moment
from beampermit.models import SavedModel
from beampermit.models.mlmodel import unlocked
from beampermit.models.scoring import Description, Field, Scores, ValueRange, single_row_scores
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.attacks import attack_case

MLMODEL = """\
flavors:
  python_function:
    artifacts:
      weights: {path: artifacts/weights.safetensors, uri: elsewhere}
      contract: {path: artifacts/contract.yaml, uri: elsewhere}
    code: code
    loader_module: mlflow.pyfunc.loaders.code_model
    model_code_path: /home/ada/bpm-faults/src/bpm_faults/serving.py
saved_input_example_info: {artifact_path: input_example.json}
"""
SPLITS = ("train", "validation", "test")
SERVING = "import numpy\n"


@pytest.fixture
def saved(project: Project, git: Callable[..., str]) -> Path:
    """A saved model of the shape that the template packages, its dataset, and the manifest that binds both."""
    folder = project.root / "model"
    source = project.root / "src/bpm_faults"
    for place in (folder / "artifacts", folder / "code/bpm_faults", source, project.root / "data/dataset"):
        place.mkdir(parents=True)
    save_file({"weight": np.zeros((2, 3), np.float32)}, folder / "artifacts/weights.safetensors")
    (folder / "artifacts/contract.yaml").write_text((project.root / "contract.yaml").read_text())
    (folder / "MLmodel").write_text(MLMODEL)
    (folder / "input_example.json").write_text('{"turns": [[0.0]]}')
    (folder / "requirements.txt").write_text("numpy==2.2\n")
    for file in (source / "serving.py", folder / "serving.py", folder / "code/bpm_faults/serving.py"):
        file.write_text(SERVING)
    for split in SPLITS:
        (project.root / f"data/dataset/{split}.parquet").write_bytes(split.encode())
    bind(project)
    git("add", "src", "manifest.json")
    git("commit", "--quiet", "--message", "The model")
    return folder


def bind(project: Project) -> None:
    """Write the manifest of what is there now."""
    places = [project.root / "model", project.root / "data/dataset"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    digests = {path.relative_to(project.root).as_posix(): digest_file(path) for path in files}
    (project.root / "manifest.json").write_text(json.dumps({"algorithm": "sha256", "files": digests}))


def judged(project: Project, id: str) -> Verdict:
    (verdict,) = check(project, select_interlocks([id]))
    return verdict


def test_a_sound_model_passes_both(project: Project, saved: Path) -> None:
    first, second = check(project, select_interlocks(["MDL001", "MDL002"]))
    assert first.passed
    assert first.reason == "manifest.json matches 10 files"
    assert second.passed
    assert second.reason == "7 files, each of an allowed format by name and content"


def test_without_a_model_it_is_skipped_with_the_next_command(project: Project) -> None:
    verdict = judged(project, "MDL001")
    assert verdict.outcome is Outcome.SKIPPED
    assert "there is no saved model in model/; neither dvc.lock nor a .dvc file has its hash" in verdict.reason
    assert "run `dvc repro`" in verdict.reason


def change_a_byte(root: Path) -> None:
    file = root / "model/artifacts/weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def manifest_with(name: str) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        file = root / "manifest.json"
        content = json.loads(file.read_text())
        content["files"][name] = "sha256:" + "0" * 64
        file.write_text(json.dumps(content))

    return plant


def link_the_dataset_elsewhere(root: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    (root / "data/dataset").rename(elsewhere)
    (root / "data/dataset").symlink_to(elsewhere)


BYTES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a byte changed": (change_a_byte, "changed: model/artifacts/weights.safetensors"),
    "a file missing": (lambda root: (root / "model/serving.py").unlink(), "missing: model/serving.py"),
    "a file too many": (lambda root: (root / "model/extra.json").write_text("{}"), "extra: model/extra.json"),
    "a split changed": (
        lambda root: (root / "data/dataset/test.parquet").write_text("easier"),
        "changed: data/dataset/test.parquet",
    ),
    "a split missing": (
        lambda root: (root / "data/dataset/train.parquet").unlink(),
        "missing: data/dataset/train.parquet",
    ),
    "a split behind a link": (
        link_the_dataset_elsewhere,
        "missing: data/dataset/test.parquet, data/dataset/train.parquet, data/dataset/validation.parquet",
    ),
    "a link in the model": (
        lambda root: (root / "model/more.json").symlink_to("/etc/hostname"),
        "a link or a device has no digest",
    ),
    "no manifest": (lambda root: (root / "manifest.json").unlink(), "manifest.json: the file is missing"),
    "an empty manifest": (lambda root: (root / "manifest.json").write_text(""), "manifest.json:1: not JSON"),
    "a manifest of nothing": (
        lambda root: (root / "manifest.json").write_text('{"algorithm": "sha256", "files": {}}'),
        "not a manifest: files",
    ),
    "a weaker digest": (
        lambda root: (root / "manifest.json").write_text('{"algorithm": "md5", "files": {"a": "b"}}'),
        "not a manifest: algorithm: Input should be 'sha256'",
    ),
    "a path that leaves": (manifest_with("../secret"), "'../secret' is not a path inside the project"),
    "an absolute path": (manifest_with("/etc/passwd"), "'/etc/passwd' is not a path inside the project"),
    "a path into git": (manifest_with(".git/config"), "'.git/config' is not a path inside the project"),
    "a path with a NUL": (manifest_with("model/a\0b"), "is not a path inside the project"),
    "a path that is not plain": (
        manifest_with("model/./MLmodel"),
        "'model/./MLmodel' is not a path inside the project",
    ),
}


@pytest.mark.plants("MDL001")
@pytest.mark.parametrize("defect", BYTES)
def test_bytes_that_git_does_not_bind_fail(project: Project, saved: Path, defect: str) -> None:
    plant, reason = BYTES[defect]
    plant(project.root)
    verdict = judged(project, "MDL001")
    assert verdict.outcome is Outcome.FAILED
    assert reason in verdict.reason


@pytest.mark.parametrize(
    "name",
    [
        attack_case(
            "model/code/bpm_faults/__pycache__/serving.cpython-311.pyc",
            guard="MDL001",
            tried="an unchecked .pyc of the model's code that the manifest does not list",
            said="model/code/bpm_faults/__pycache__/serving.cpython-311.pyc: compiled code",
        ),
        attack_case(
            "model/code/bpm_faults/features.pyc",
            guard="MDL001",
            tried="a compiled module without source that the manifest does not list",
            said="model/code/bpm_faults/features.pyc: compiled code",
        ),
        attack_case(
            "model/__pycache__/weights.json",
            guard="MDL001",
            tried="JSON in the model's __pycache__ that the manifest does not list",
            said="model/__pycache__/weights.json: compiled code",
        ),
    ],
)
@pytest.mark.plants("MDL001")
def test_compiled_code_in_the_work_trees_model_fails_and_is_what_to_delete(
    project: Project, saved: Path, name: str, said: str
) -> None:
    file = project.root / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"{}")
    verdict = judged(project, "MDL001")
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason
    assert "delete it" in verdict.reason
    shutil.rmtree(file.parent) if "__pycache__" in name else file.unlink()
    assert judged(project, "MDL001").outcome is Outcome.PASSED


PAGES = {
    "missing": (None, "model/MLmodel: the file is missing"),
    "no YAML": ("flavors: [", "model/MLmodel:1: not YAML"),
    "no flavors": ("signature: {}\n", "model/MLmodel:1: not an MLmodel file: it has no flavors"),
    "an object's tag": ("flavors: !!python/object/apply:os.system ['id']\n", "model/MLmodel:1: not YAML"),
    "an artifact that is not there": (
        MLMODEL.replace("weights.safetensors", "better.safetensors"),
        "MLmodel names files that are missing: artifact 'weights' artifacts/better.safetensors",
    ),
    "an artifact outside": (
        MLMODEL.replace("artifacts/weights.safetensors", "../data/dataset/test.parquet"),
        "artifact 'weights' ../data/dataset/test.parquet",
    ),
}


@pytest.mark.parametrize("defect", PAGES)
def test_a_page_that_does_not_hold_fails(project: Project, saved: Path, defect: str) -> None:
    text, reason = PAGES[defect]
    (saved / "MLmodel").unlink() if text is None else (saved / "MLmodel").write_text(text)
    bind(project)
    verdict = judged(project, "MDL001")
    assert verdict.outcome is Outcome.FAILED
    assert reason in verdict.reason


def test_code_that_no_reviewer_saw_fails(project: Project, saved: Path) -> None:
    (saved / "code/bpm_faults/serving.py").write_text(SERVING + "import socket\n")
    bind(project)
    verdict = judged(project, "MDL001")
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == "source code that is not in this commit: model/code/bpm_faults/serving.py"


LOCK = """\
version = 1
requires-python = "==3.11.*"

[[package]]
name = "bpm-faults"
version = "0.1.0"
source = { virtual = "." }
"""
LOCKED = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "pyyaml": "6.0.4", "mlflow-skinny": "3.17.2"}
CONDA = """\
channels:
- conda-forge
dependencies:
- python=3.11.7
- pip<=25.3
- pip:
  - mlflow-skinny==3.17.2
  - numpy==2.4.6
name: mlflow-env
"""
PYTHON = """\
python: 3.11.7
build_dependencies:
- pip
- setuptools==84.2.1
- wheel
dependencies:
- -r requirements.txt
"""
LISTED = (
    "# served with\nmlflow_skinny==3.17.2\ntorch==2.13.0 \\\n  --hash=sha256:00\nPyYAML==6.0.4; python_version > '3'\n"
)


@pytest.fixture
def requiring(project: Project, saved: Path) -> Path:
    """The saved model with its own requirements, as MLflow writes them, in a project with a lock."""
    packages = (
        f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ registry = "wheels" }}\n'
        for name, version in LOCKED.items()
    )
    (project.root / "uv.lock").write_text("\n".join([LOCK, *packages]))
    (project.root / "pyproject.toml").write_text('[project]\nname = "bpm-faults"\nrequires-python = "==3.11.*"\n')
    for name, text in (("requirements.txt", LISTED), ("conda.yaml", CONDA), ("python_env.yaml", PYTHON)):
        (saved / name).write_text(text)
    shutil.copy(project.root / "uv.lock", saved)
    (saved / "MLmodel").write_text(
        MLMODEL.replace(
            "    code: code\n", "    code: code\n    env: {conda: conda.yaml, virtualenv: python_env.yaml}\n"
        )
    )
    bind(project)
    return saved


def test_a_model_that_requires_what_is_locked_passes(project: Project, requiring: Path) -> None:
    verdict = judged(project, "MDL001")
    assert verdict.passed, verdict.reason


@pytest.mark.plants("MDL001")
@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        attack_case(
            "requirements.txt",
            "# served with",
            "requests==2.0",
            guard="MDL001",
            tried="the saved model itself requires a package that is not locked",
            said="requirements.txt:1: requests==2.0 is not in uv.lock",
        ),
        attack_case(
            "requirements.txt",
            "mlflow_skinny==3.17.2",
            "mlflow_skinny==2.0",
            guard="MDL001",
            tried="the saved model itself requires a version that is not locked",
            said="requirements.txt:2: mlflow_skinny==2.0 is required, and uv.lock has mlflow_skinny 3.17.2",
        ),
        attack_case(
            "requirements.txt",
            "mlflow_skinny==3.17.2",
            "mlflow_skinny>=3",
            guard="MDL001",
            tried="the saved model itself requires any version that is not locked",
            said="requirements.txt:2: mlflow_skinny>=3 is required, and uv.lock has mlflow_skinny 3.17.2",
        ),
        attack_case(
            "requirements.txt",
            "mlflow_skinny==3.17.2",
            "mlflow_skinny==3.*",
            guard="MDL001",
            tried="the saved model itself requires a range that only looks exact that is not locked",
            said="requirements.txt:2: mlflow_skinny==3.* is required, and uv.lock has mlflow_skinny 3.17.2",
        ),
        attack_case(
            "requirements.txt",
            "# served with",
            "numpy @ https://evil.example/n",
            guard="MDL001",
            tried="the saved model itself requires a URL that is not locked",
            said="requirements.txt:1: 'numpy @ https://evil.example/n' is not the name and version of a package",
        ),
        attack_case(
            "requirements.txt",
            "# served with",
            "--index-url https://evil.example",
            guard="MDL001",
            tried="the saved model itself requires an index that is not locked",
            said="requirements.txt:1: '--index-url https://evil.example' is not the name and version of a package",
        ),
        attack_case(
            "requirements.txt",
            "# served with",
            "# served with \\\nrequests==2.0",
            guard="MDL001",
            tried="the saved model itself requires a package below a comment that seems to go on",
            said="requirements.txt:2: requests==2.0 is not in uv.lock",
        ),
        attack_case(
            "requirements.txt",
            "mlflow_skinny==3.17.2",
            "mlflow_skinny[databricks]==3.17.2",
            guard="MDL001",
            tried="the saved model itself requires an extra, whose packages are not locked",
            said="requirements.txt:2: mlflow_skinny[databricks]==3.17.2 asks for the extra databricks, which is not "
            "in uv.lock",
        ),
        attack_case(
            "requirements.txt",
            "# served with",
            "-r code/more.txt",
            guard="MDL001",
            tried="the saved model itself requires a further list that is not locked",
            said="requirements.txt:1: '-r code/more.txt' is not the name and version of a package",
        ),
        attack_case(
            "conda.yaml",
            "- conda-forge",
            "- https://evil.example/channel",
            guard="MDL001",
            tried="the saved model itself requires a channel that is not locked",
            said="conda.yaml:2: the channel https://evil.example/channel is not one of the lock's",
        ),
        attack_case(
            "conda.yaml",
            "- pip<=25.3",
            "- requests=2.0",
            guard="MDL001",
            tried="the saved model itself requires a package of conda that is not locked",
            said="conda.yaml:5: requests=2.0 is not in uv.lock",
        ),
        attack_case(
            "conda.yaml",
            "  - numpy==2.4.6",
            "  - numpy==1.0",
            guard="MDL001",
            tried="the saved model itself requires a package of pip in conda that is not locked",
            said="conda.yaml:8: numpy==1.0 is required, and uv.lock has numpy 2.4.6",
        ),
        attack_case(
            "conda.yaml",
            "python=3.11.7",
            "python=3.9.1",
            guard="MDL001",
            tried="the saved model itself requires another Python that is not locked",
            said="conda.yaml:4: Python 3.9.1 is required, and uv.lock is for ==3.11.*",
        ),
        attack_case(
            "conda.yaml",
            "name: mlflow-env",
            "variables: {PIP_INDEX_URL: https://evil.example}",
            guard="MDL001",
            tried="the saved model itself sets variables for whoever installs its packages",
            said="conda.yaml:9: the key variables is none that MLflow writes: it may change what is installed",
        ),
        attack_case(
            "python_env.yaml",
            "python: 3.11.7",
            "python: 3.9.1",
            guard="MDL001",
            tried="the saved model itself requires another Python of pip that is not locked",
            said="python_env.yaml:1: Python 3.9.1 is required, and uv.lock is for ==3.11.*",
        ),
        attack_case(
            "python_env.yaml",
            "- wheel",
            "- wheels-of-mine==1.0",
            guard="MDL001",
            tried="the saved model itself requires a builder that is not locked",
            said="python_env.yaml:5: wheels-of-mine==1.0 is not in uv.lock",
        ),
        attack_case(
            "uv.lock",
            "2.4.6",
            "2.4.5",
            guard="MDL001",
            tried="the saved model itself requires another lock that is not locked",
            said="uv.lock:1: it is not the project's uv.lock",
        ),
        attack_case(
            "MLmodel",
            "virtualenv: python_env.yaml",
            "virtualenv: code/env.yaml",
            guard="MDL001",
            tried="the saved model itself requires an environment described elsewhere that is not locked",
            said="MLmodel:1: its environment is described by code/env.yaml, not by conda.yaml and python_env.yaml",
        ),
    ],
)
def test_a_model_that_requires_something_else_fails_with_file_and_line(
    project: Project, requiring: Path, file: str, before: str, after: str, said: str
) -> None:
    text = (requiring / file).read_text()
    assert before in text
    (requiring / file).write_text(text.replace(before, after, 1))
    bind(project)
    verdict = judged(project, "MDL001")
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == said
    line = said.removeprefix(f"{file}:").partition(":")[0]
    assert [(place.file, str(place.line or 1)) for place in verdict.locations] == [(f"model/{file}", line)]
    assert "dvc repro --force package" in verdict.fix


@pytest.mark.parametrize(
    ("required", "locked"),
    [
        ("torch==2.13.0", "pytorch"),
        ("msgpack==1.1", "msgpack-python"),
        ("tables==3.1", "pytables"),
        ("xgboost==3.0", "py-xgboost"),
    ],
)
def test_a_package_that_conda_names_otherwise_is_found(saved: Path, required: str, locked: str) -> None:
    name, _, version = required.partition("==")
    packages = tuple(
        Package(one, number, "conda-forge", "", (), platform="linux-64")
        for one, number in ((locked, version), ("python", "3.11.7"))
    )
    (saved / "requirements.txt").write_text(f"{required}\n")
    lock = Lock("conda-lock.yml", "", "", packages)
    assert list(unlocked(SavedModel.read(saved, "model"), lock)) == []
    (saved / "requirements.txt").write_text(f"{name}==0.1\n")
    assert len(list(unlocked(SavedModel.read(saved, "model"), lock))) == 1


class Payload:
    """What a pickle can do: call anything when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("pickled code ran",)


def torch_like() -> bytes:
    """A checkpoint as torch.save lays it out."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload()))
        archive.writestr("archive/data/0", b"\0" * 8)
    return content.getvalue()


def numpy_object() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([Payload()], dtype=object), allow_pickle=True)
    return content.getvalue()


MODELS = Path(__file__).parents[2] / "data/models"
BEYOND = b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'
WEIGHTS, EXAMPLE = "artifacts/weights.safetensors", "input_example.json"
FORMATS: dict[str, tuple[str, bytes, str]] = {
    **{
        f"pickle {protocol} as safetensors": (
            WEIGHTS,
            pickle.dumps(Payload(), protocol),
            f"model/{WEIGHTS} is really a pickle of protocol {protocol if protocol > 1 else '0 or 1'}",
        )
        for protocol in range(6)
    },
    "pickle as JSON": (EXAMPLE, pickle.dumps(Payload()), f"model/{EXAMPLE} is really a pickle of protocol 4"),
    "pickle as YAML": ("conda.yaml", pickle.dumps(Payload()), "model/conda.yaml is really a pickle of protocol 4"),
    "pickle as Python": ("serving.py", pickle.dumps(Payload()), "model/serving.py is really a pickle of protocol 4"),
    "pickle as text": (
        "requirements.txt",
        pickle.dumps(Payload()),
        "model/requirements.txt is really a pickle of protocol 4",
    ),
    "pickle as ONNX": ("model.onnx", pickle.dumps(Payload()), "model/model.onnx is really a pickle of protocol 4"),
    "pickle by its own name": (
        "python_model.pkl",
        pickle.dumps(Payload()),
        "model/python_model.pkl is a pickle of protocol 4; allowed are safetensors, ONNX, XGBoost JSON and UBJ",
    ),
    "torch checkpoint as safetensors": (
        WEIGHTS,
        torch_like(),
        f"model/{WEIGHTS} is really a zip archive with a pickle in it (archive/data.pkl), as torch saves",
    ),
    "torch checkpoint": ("model.pt", torch_like(), "model/model.pt is a zip archive with a pickle in it"),
    "zip cut off": (WEIGHTS, torch_like()[:60], f"model/{WEIGHTS} is really a broken zip archive"),
    "gzip": (WEIGHTS, gzip.compress(pickle.dumps(Payload())), f"model/{WEIGHTS} is really a gzip archive"),
    "ELF": ("code/fast.json", b"\x7fELF\x02\x01\x01" + b"\0" * 99, "model/code/fast.json is really an ELF program"),
    "HDF5": ("weights.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "model/weights.h5 is an HDF5 file"),
    "numpy objects": (WEIGHTS, numpy_object(), f"model/{WEIGHTS} is really a numpy array, and the array holds Python"),
    "compiled code": ("code/__pycache__/x.cpython-311.pyc", b"\xa7\r\r\n", "x.cpython-311.pyc is compiled code"),
    "JSON where compiled code lies": ("code/__pycache__/x.json", b"{}", "code/__pycache__/x.json is compiled code"),
    "another format": ("notes.docx", b"words", "model/notes.docx is of an unknown format; allowed are"),
    "ONNX with an operator of somebody": (
        "model.onnx",
        (MODELS / "operator.onnx").read_bytes(),
        "model/model.onnx is not a valid .onnx file: it calls the operator lab.operators.Fast, which is code outside",
    ),
    "pickle as UBJ": ("model.ubj", pickle.dumps(Payload()), "model/model.ubj is really a pickle of protocol 4"),
    "empty safetensors": (WEIGHTS, b"", f"model/{WEIGHTS} is not a valid .safetensors file"),
    "safetensors cut off": (WEIGHTS, b"\x40\0\0\0\0\0\0\0{", f"model/{WEIGHTS} is not a valid .safetensors file"),
    "header of 2**63 bytes": (WEIGHTS, b"\xff" * 7 + b"\x7f{}", f"model/{WEIGHTS} is not a valid .safetensors file"),
    "tensors beyond the end": (
        WEIGHTS,
        len(BEYOND).to_bytes(8, "little") + BEYOND,
        f"model/{WEIGHTS} is not a valid .safetensors file",
    ),
    "JSON with NaN": (
        EXAMPLE,
        b'{"turns": NaN}',
        f"model/{EXAMPLE} is not a valid .json file: NaN is not a JSON number",
    ),
    "JSON cut off": (EXAMPLE, b'{"turns": [', f"model/{EXAMPLE} is not a valid .json file: not JSON"),
    "YAML that makes objects": (
        "conda.yaml",
        b"a: !!python/object/apply:os.system ['id']\n",
        "model/conda.yaml is not a valid .yaml file: could not determine a constructor",
    ),
    "Python that does not parse": (
        "serving.py",
        b"def (:\n",
        "model/serving.py is not a valid .py file: invalid syntax",
    ),
    "Python in another encoding": (
        "serving.py",
        b"# -*- coding: utf-7 -*-\n",
        "model/serving.py is not a valid .py file: it declares the encoding utf-7",
    ),
    "ONNX without a graph": (
        "model.onnx",
        b"\x08\x09",
        "model/model.onnx is not a valid .onnx file: it contains no graph",
    ),
    "ONNX cut off": (
        "model.onnx",
        b"\x08\x09\x3a\x40abc",
        "model.onnx is not a valid .onnx file: it ends in the middle",
    ),
}


@pytest.mark.plants("MDL002")
@pytest.mark.parametrize("defect", FORMATS)
def test_a_file_that_is_not_what_it_says_fails(
    project: Project, saved: Path, defect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, reason = FORMATS[defect]
    (saved / name).parent.mkdir(parents=True, exist_ok=True)
    (saved / name).write_bytes(content)
    verdict = judged(project, "MDL002")
    assert verdict.outcome is Outcome.FAILED
    assert reason in verdict.reason
    assert f"model/{name}" in [place.file for place in verdict.locations]
    assert "pickled code ran" not in capsys.readouterr().out


def test_models_of_other_frameworks_are_let_through(project: Project, saved: Path) -> None:
    for file in MODELS.iterdir():
        if file.name not in ("README.md", "operator.onnx"):
            shutil.copy(file, saved)
    assert judged(project, "MDL002").passed


@pytest.mark.parametrize("target", ["/etc/passwd", "artifacts"])
def test_a_link_fails(project: Project, saved: Path, target: str) -> None:
    (saved / "more.json").symlink_to(target)
    verdict = judged(project, "MDL002")
    assert verdict.outcome is Outcome.FAILED
    assert "model/more.json is a link or a device, not a regular file" in verdict.reason


LOADERS = {
    "a loader that unpickles": (
        ("loaders.code_model", "model"),
        "it is loaded by mlflow.pyfunc.model, which may unpickle",
    ),
    "the loader of another flavor": (
        ("mlflow.pyfunc.loaders.code_model", "mlflow.sklearn"),
        "loaded by mlflow.sklearn",
    ),
    "a loader of its own": (("mlflow.pyfunc.loaders.code_model", "bpm_faults.load"), "loaded by bpm_faults.load"),
    "no code to load": (("model_code_path", "model_code"), "it has no model_code_path"),
    "a pickled model beside the code": (("    code: code", "    python_model: python_model.pkl"), "python_model.pkl"),
    "no pyfunc": (("python_function", "sklearn"), "it has no python_function flavor"),
}


@pytest.mark.parametrize("defect", LOADERS)
def test_a_loader_that_may_unpickle_fails(project: Project, saved: Path, defect: str) -> None:
    (before, after), reason = LOADERS[defect]
    assert before in MLMODEL
    (saved / "MLmodel").write_text(MLMODEL.replace(before, after))
    verdict = judged(project, "MDL002")
    assert verdict.outcome is Outcome.FAILED
    assert "model/MLmodel would run unreviewed code" in verdict.reason
    assert reason in verdict.reason


GOOD = ValueRange(rows=6, finite=True, low=0.1, high=0.9)
LOADED = Description(
    inputs=(Field(name="turns", type="float32", shape=(-1, 250)),),
    outputs=(Field(name="score", type="float", shape=None),),
    example={"score": GOOD},
    accepted=(),
)
SCORED = Scores(seconds=0.1, memory=200, single_rows=6, p50=1, p99=2, worst=90, rows=6, columns={"score": GOOD})
SIGNATURES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another input": (
        {"inputs": (Field(name="samples", type="float32", shape=(-1, 250)),)},
        {},
        "input 'turns' of the contract is not in the model's signature, which has samples; "
        "input 'samples' of the model's signature is not in the contract",
    ),
    "another shape": (
        {"inputs": (Field(name="turns", type="float32", shape=(-1, 200)),)},
        {},
        "input 'turns' has shape [200] per row, [250] in the contract",
    ),
    "text as input": (
        {"inputs": (Field(name="turns", type="string", shape=None),)},
        {},
        "input 'turns' is of type string, not a number",
    ),
    "another output": (
        {"outputs": (Field(name="probability", type="float", shape=None),)},
        {},
        "output 'score' of the contract is not in the model's signature",
    ),
    "wrong shape accepted": (
        {"accepted": ("'turns' of shape (2, 251)",)},
        {},
        "it accepts 'turns' of shape (2, 251), which it must refuse",
    ),
    "nothing for its example": (
        {"example": {"score": ValueRange(rows=0, finite=False, low=None, high=None)}},
        {},
        "on its own example it gave no row",
    ),
    "NaN": (
        {},
        {"columns": {"score": ValueRange(rows=6, finite=False, low=0.1, high=0.9)}},
        "on data/dataset/test.parquet it gave 'score' that is not finite",
    ),
    "beyond its range": (
        {},
        {"columns": {"score": ValueRange(rows=6, finite=True, low=-0.5, high=1.00001)}},
        "on data/dataset/test.parquet it gave 'score' from -0.5 to 1.00001, outside [0, 1]",
    ),
    "another name": (
        {},
        {"columns": {"result": GOOD}},
        "on data/dataset/test.parquet it gave no 'score'; "
        "on data/dataset/test.parquet it gave 'result', which is not an output of the contract",
    ),
    "an output that nobody declared": (
        {},
        {"columns": {"score": GOOD, "label": GOOD}},
        "on data/dataset/test.parquet it gave 'label', which is not an output of the contract",
    ),
    "a list instead of a number": (
        {},
        {"columns": {"score": GOOD.model_copy(update={"shape": (2,)})}},
        "on data/dataset/test.parquet it gave 'score' as 2 numbers per row, one number in the contract",
    ),
    "an output whose signature has another shape": (
        {"outputs": (Field(name="score", type="float32", shape=(-1, 2)),)},
        {},
        "output 'score' has shape [2] per row, [] in the contract",
    ),
}


def examined(contract_text: str, saved: Path, loaded: dict[str, Any], scored: dict[str, Any]) -> Any:
    seen = Examined(LOADED.model_copy(update=loaded), SCORED.model_copy(update=scored), Path("scores.parquet"))
    contract = parse_contract(contract_text)
    return MDL003().check(contract, contract, SavedModel.read(saved, "model"), seen)


@pytest.mark.parametrize(
    ("shape", "outcome"),
    [((64, 64), Outcome.PASSED), ((32, 128), Outcome.FAILED), ((4096,), Outcome.FAILED)],
)
def test_an_image_as_output_has_the_shape_of_the_contract(
    contract_text: str, saved: Path, shape: tuple[int, ...], outcome: Outcome
) -> None:
    text = contract_text.replace("{name: score,", "{name: score, shape: [64, 64],")
    (saved / "artifacts/contract.yaml").write_text(text)
    given = GOOD.model_copy(update={"shape": shape})
    loaded = {
        "outputs": (Field(name="score", type="float32", shape=(-1, 64, 64)),),
        "example": {"score": GOOD.model_copy(update={"shape": (64, 64)})},
    }
    finding = examined(text, saved, loaded, {"columns": {"score": given}})
    assert finding.outcome is outcome, finding.reason
    if outcome is Outcome.FAILED:
        own = " x ".join(map(str, shape))
        assert f"it gave 'score' as {own} numbers per row, 64 x 64 numbers in the contract" in finding.reason


def test_a_model_that_honours_the_contract_passes(contract_text: str, saved: Path) -> None:
    finding = examined(contract_text, saved, {}, {})
    assert finding.outcome is Outcome.PASSED
    assert finding.reason == (
        "6 rows of data/dataset/test.parquet gave score from 0.1 to 0.9; wrong inputs are refused"
    )


@pytest.mark.plants("MDL003")
@pytest.mark.parametrize("defect", SIGNATURES)
def test_a_signature_that_is_not_the_contracts_fails(contract_text: str, saved: Path, defect: str) -> None:
    loaded, scored, reason = SIGNATURES[defect]
    finding = examined(contract_text, saved, loaded, scored)
    assert finding.outcome is Outcome.FAILED
    assert reason in finding.reason


def test_a_contract_that_travels_with_other_signals_fails(contract_text: str, saved: Path) -> None:
    finding = examined(contract_text.replace("hihi: 0.9", "hihi: 0.8"), saved, {}, {})
    assert finding.outcome is Outcome.FAILED
    assert finding.reason == "the contract packaged with it differs from contract.yaml in signal 'score'"


def test_a_model_without_its_contract_fails(contract_text: str, saved: Path) -> None:
    (saved / "artifacts/contract.yaml").unlink()
    finding = examined(contract_text, saved, {}, {})
    assert "the contract packaged with it cannot be read: artifacts/contract.yaml" in finding.reason


def twice_the_score(folder: Path) -> None:
    (file,) = folder.glob("code/*/pipeline/served.py")
    before = file.read_text()
    file.write_text(before.replace("np.asarray(outputs[output.name]", "2 * np.asarray(outputs[output.name]"))
    assert file.read_text() != before, "the defect is not planted: serving.py reads otherwise now"


def without_its_features(folder: Path) -> None:
    (code,) = folder.glob("code/*/features.py")
    code.unlink()


def broken_weights(folder: Path) -> None:
    weights = folder / "artifacts/weights.safetensors"
    save_file({name: tensor * np.float32("nan") for name, tensor in load_file(weights).items()}, weights)


def another_signature(folder: Path) -> None:
    file = folder / "MLmodel"
    file.write_text(file.read_text().replace('"name": "score"', '"name": "probability"'))


PLANTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "scores beyond their range": (twice_the_score, "outside [0, 1]"),
    "code left out": (without_its_features, "No module named 'bpm_faults.features'"),
    "NaN in its weights": (broken_weights, "it gave 'score' that is not finite"),
    "another name": (
        another_signature,
        "output 'score' of the contract is not in the model's signature, which has probability",
    ),
}


COSTS: dict[str, tuple[dict[str, float], str]] = {
    "slow": ({"p99": 50.1}, "it takes 50.1 ms for a row (p50 1 ms), 50 ms allowed"),
    "large": ({"memory": 2049}, "it uses 2049 MiB of memory, 2048 MiB allowed"),
    "both": ({"p99": 60, "memory": 3000}, "; it uses 3000 MiB"),
}


@pytest.mark.plants("MDL004")
@pytest.mark.parametrize("defect", COSTS)
def test_a_prediction_beyond_the_budget_fails(contract_text: str, saved: Path, defect: str) -> None:
    measured, reason = COSTS[defect]
    seen = Examined(LOADED, SCORED.model_copy(update=measured), Path("scores.parquet"))
    finding = MDL004().check(parse_contract(contract_text), SavedModel.read(saved, "model"), seen)
    assert finding.outcome is Outcome.FAILED
    assert reason in finding.reason
    assert finding.evidence["milliseconds"]["allowed"] == 50


def test_one_slow_moment_of_the_machine_fails_nothing_and_is_shown(contract_text: str, saved: Path) -> None:
    seen = Examined(LOADED, SCORED, Path("scores.parquet"))
    finding = MDL004().check(parse_contract(contract_text), SavedModel.read(saved, "model"), seen)
    assert finding.outcome is Outcome.PASSED
    assert finding.evidence["milliseconds"]["worst"] == 90


def test_without_scores_of_training_nothing_says_what_a_row_should_get(contract_text: str, project: Project) -> None:
    contract = parse_contract(contract_text)
    finding = MDL005().check(project, contract, contract, Examined(LOADED, SCORED, Path("scores.parquet")))
    assert finding.outcome is Outcome.FAILED
    assert finding.reason == "evaluation.scores is not set, so there are no scores of training to compare with"


def table(file: Path, columns: str, *rows: tuple[float, ...]) -> None:
    with duckdb.connect() as connection:
        connection.sql(f"SELECT * FROM (VALUES {str(list(rows))[1:-1]}) AS t({columns})").write_parquet(str(file))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("apart", "tolerance", "outcome"),
    [(0.9e-4, 1e-4, Outcome.PASSED), (1.1e-4, 1e-4, Outcome.FAILED), (1.1e-4, 1, Outcome.FAILED)],
    ids=["just inside", "just outside", "just outside, tolerance widened in the pull request"],
)
def test_scores_are_compared_within_the_tolerance_of_the_base_branch(
    contract_text: str, project: Project, apart: float, tolerance: float, outcome: Outcome
) -> None:
    scores = project.root / "scores.parquet"
    table(scores, "score", (0.5,), (0.25,))
    table(single_row_scores(scores), '"beampermit.row", "beampermit.round", score', (0, 0, 0.5), (0, 1, 0.5))
    table(project.root / "training.parquet", "score", (0.5 + apart,), (0.25,))
    base = contract_text.replace("  command:", "  scores: training.parquet\n  command:")
    base, head = (base.replace("default: 1.0", f"default: 1.0, score_tolerance: {one}") for one in (1e-4, tolerance))
    seen = Examined(LOADED, SCORED, scores)
    assert MDL005().check(project, parse_contract(head), parse_contract(base), seen).outcome is outcome


Served = Callable[..., Any]


@pytest.fixture
def served(contract_text: str, project: Project) -> Served:
    """The finding of MDL005 for two rows, of which the second is refused in service, and these answers to them.

    `output` and `turns` are keys of the contract's signals.
    """

    def find(first: float, second: float, output: Any = (), **turns: Any) -> Any:
        scores, inputs = project.root / "scores.parquet", project.root / "inputs.parquet"
        for file in (scores, project.root / "training.parquet"):
            table(file, "score", (first,), (second,))
        alone = [(row, turn, answer) for turn in (0, 1) for row, answer in enumerate((first, second))]
        table(single_row_scores(scores), '"beampermit.row", "beampermit.round", score', *alone)
        with duckdb.connect() as connection:
            connection.sql("SELECT * FROM (VALUES ([1, 2]), ([1, 33])) t(turns)").write_parquet(str(inputs))
        page = yaml.safe_load(contract_text)
        (own,), (score,) = page["signals"]["inputs"], page["signals"]["outputs"]
        page["signals"]["inputs"] = [{**own, "name": "turns", "shape": [2], "range": [-20, 20], **turns}]
        page["signals"]["outputs"] = [{**score, **dict(output)}]
        page["evaluation"]["scores"] = "training.parquet"
        contract = parse_contract(yaml.safe_dump(page))
        return MDL005().check(project, contract, contract, Examined(LOADED, SCORED, scores, "", inputs))

    return find


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        pytest.param(
            (1.0, 5.0),
            "2 rows as in training, 2 also alone: at most 0 apart in score, 0.01% of 4 allowed; a service would "
            "not ask for 1 of them, such as row 1: turns is 33, outside its range [-20, 20]",
            id="just inside",
        ),
        pytest.param(
            (1.1, 0.5),
            "row 0 would be INVALID in service: the model gave 1.1 for score, outside its range [0, 1]",
            marks=pytest.mark.plants("MDL005"),
            id="just outside",
        ),
    ],
)
def test_an_answer_that_the_service_would_not_show_fails_where_it_would_ask_for_the_row(
    served: Served, answers: tuple[float, float], reason: str
) -> None:
    finding = served(*answers)
    assert finding.reason == reason
    assert finding.outcome is (Outcome.PASSED if "training" in reason else Outcome.FAILED)


@pytest.mark.plants("MDL005")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ({"shape": [2]}, "the model gave score in shape (1,) instead of (1, 2)"),
        ({"name": "losses"}, "the model gave no losses"),
    ],
    ids=["another shape", "another output"],
)
def test_an_answer_that_the_loop_of_the_service_would_not_show_fails(
    served: Served, output: dict[str, Any], reason: str
) -> None:
    finding = served(1.0, 5.0, output)
    assert finding.reason == f"row 0 would be INVALID in service: {reason}"
    assert finding.outcome is Outcome.FAILED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stale_after", "outcome"), [(61, Outcome.PASSED), (59, Outcome.FAILED)], ids=["just inside", "just outside"]
)
def test_rows_are_judged_in_a_replay(
    served: Served, monkeypatch: pytest.MonkeyPatch, stale_after: float, outcome: Outcome
) -> None:
    """The clock by which a replay's samples arrive, which nothing else reads, is planted a minute behind."""
    monkeypatch.setattr(Moment, "clock", lambda moment: moment.at - 60)
    finding = served(1.0, 5.0, stale_after=stale_after)
    assert finding.outcome is outcome
    if outcome is Outcome.FAILED:
        assert finding.reason == "row 0 would be INVALID in service: turns is older than 59 s"


@pytest.mark.slow
def test_a_trained_model_loads_honours_its_contract_and_its_budget_and_serves_what_it_learnt(
    trained_copy: Project,
) -> None:
    third, fourth, fifth = check(trained_copy, select_interlocks(["MDL003", "MDL004", "MDL005"]))
    assert third.passed, third.reason
    assert third.evidence["outputs"]["score"]["finite"]
    assert fourth.passed, fourth.reason
    assert 0 < fourth.evidence["milliseconds"]["p50"] <= fourth.evidence["milliseconds"]["worst"]
    assert fifth.passed, fifth.reason
    assert fifth.evidence["training"]["second"] is not None


@pytest.mark.plants("MDL005")
@pytest.mark.slow
def test_a_trained_model_that_serves_with_other_features_fails(trained_copy: Project) -> None:
    features = trained_copy.root / "model/artifacts/features.json"
    learnt = json.loads(features.read_text())
    features.write_text(json.dumps({**learnt, "scale": [value * 1.1 for value in learnt["scale"]]}))
    verdict = judged(trained_copy, "MDL005")
    assert verdict.outcome is Outcome.FAILED
    assert "by training's code and" in verdict.reason
    assert "by the saved model, 0.01% of 0.9" in verdict.reason


@pytest.mark.slow
@pytest.mark.parametrize("defect", PLANTED)
def test_a_trained_model_with_a_defect_fails(trained_copy: Project, defect: str) -> None:
    plant, reason = PLANTED[defect]
    plant(trained_copy.root / "model")
    verdict = judged(trained_copy, "MDL003")
    assert verdict.outcome is Outcome.FAILED
    assert reason in verdict.reason
