"""A project whose code fits its contract, in many ways that a reader of code could take for defects."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from beampermit.project import Project
from support.git_repositories import committed
from support.shared import made_once, shared_folder

FILES = {
    "dvc.yaml": """\
vars: [{model: {folder: model}}]
stages:
  raw:
    cmd: python -m bpm_faults.request --out data/raw.parquet
    params: [contract.yaml: [dataset.request, dataset.raw]]
    deps: [src/bpm_faults/request.py, "https://data.lab.example/turns.h5", cables.csv]
    outs: [data/raw.parquet, data/labels.parquet, data/raw.json: {cache: false}]
  dataset:
    cmd:
      - PYTHONPATH=src python -W error -m bpm_faults.dataset
      - python scripts/look.py
      - cd scripts && python common_rows.py
    params: [split.train, split.validation, data/raw.json: [rows]]
    deps: [data/raw.parquet, data/labels.parquet]
    outs: [data/dataset, {data/dataset.json: {cache: false}}]
  train:
    foreach: [small]
    do:
      wdir: scripts
      cmd: python train.py --epochs ${train.epochs} ${loud} ../models/${item} && cd .. && python -m bpm_faults.limits
      params: [../params.yaml: [train]]
      deps: [../data/dataset/train.parquet, train.py]
      outs: ["../models/${item}", ../metrics/limits.json: {cache: false}]
  package:
    cmd: tool pack models/small
    deps: [models, src/bpm_faults]
    outs: ["${model.folder}", manifest.json: {cache: false}]
    metrics: [metrics/metrics.json: {cache: false}]
""",
    "cables.csv.dvc": "outs: [{md5: 0a0b0c0d0a0b0c0d0a0b0c0d0a0b0c0d, size: 3, path: cables.csv}]\n",
    "params.yaml": """\
split: {train: 0.5, validation: 0.2}
train: {seed: 0, epochs: 5}
forest: {max_depth: 3, colsample_bytree: 0.5, seed: 1}
learning-rate: 0.1
loud: --verbose
""",
    ".gitignore": "/src/bpm_faults/_version.py\n/data\n/models\n/model\n",
    "pyproject.toml": '[project]\nname = "bpm-faults"\nscripts = {bpm = "bpm_faults.commands:main"}\n',
    "Makefile": """\
PYTHON := python
show:
\t$(PYTHON) -m bpm_faults.show  # a page
lint:
\t$(PYTHON) -m ruff check
# $(PYTHON) -m bpm_faults.gone
""",
    "src/bpm_faults/__init__.py": "from ._version import version as __version__\n",
    "src/bpm_faults/fast.c": "int main() { return 0; }\n",
    "src/bpm_faults/request.py": "from . import settings\nfrom .plugins import registry\n\nprint(settings, registry)\n",
    "src/bpm_faults/settings.py": """\
import json
from pathlib import Path

import yaml

try:
    from .fast_settings import read
except ImportError:
    def read() -> dict:
        return yaml.safe_load(Path("params.yaml").read_text())


def grow() -> object:
    import xgboost

    rows = read()["split"]["train"], read()["split"]["validation"]
    return xgboost.train(read()["forest"], read()["learning-rate"], rows)
""",
    "src/bpm_faults/plugins/registry.py": "known = {}\n",
    "src/bpm_faults/dataset.py": 'from bpm_faults.settings import read\n\ncolumns = ["turns", "faulty"]\n',
    "src/bpm_faults/evaluate.py": """\
import json

for rate in ("alarm",):
    values = {"auc": 1.0, f"false_{rate}_rate": 0.0}
MODEL = "serving.py"
""",
    "src/bpm_faults/serving.py": "import mlflow\n",
    "src/bpm_faults/limits.py": "from bpm_faults.dataset import columns\n\nlimits = 'tables/limits.csv'\n",
    "src/bpm_faults/pages/__main__.py": "print(1)\n",
    "src/bpm_faults/told.py": "def draw():\n    return 0\n",
    "tables/limits.csv": "name\n",
    "src/bpm_faults/commands.py": "from bpm_faults._fast import go\n\ndef main():\n    go()\n",
    "src/bpm_faults/show.py": 'import argparse\n\nif __name__ == "__main__":\n    print(vars(argparse.Namespace()))\n',
    "src/bpm_faults/by_hand.py": 'if __name__ == "__main__":\n    print("nobody names me")\n',
    "src/bpm_faults/for_tests.py": "def rows():\n    return []\n",
    "src/bpm_faults/noted.py": "def draw():\n    return 0\n",
    "src/bpm_faults/newer.py": "type Rows = list[int]\n\ndef f[T](x: T) -> T: return x\n\nmatch 1:\n    case 1 pass\n",
    "scripts/train.py": "from pathlib import Path\n\nimport common_rows\n\nprint(Path(__file__), 'seed', 'train')\n",
    "scripts/common_rows.py": "",
    "scripts/look.py": "import bpm_faults.dataset as rows\n\nprint(rows.columns)\n",
    "notebooks/look.ipynb": '{"cells": [{"source": ["from bpm_faults import noted\\n"]}]}\n',
    "tests/unit/test_rows.py": """\
import pytest

from bpm_faults.dataset import columns
from bpm_faults.for_tests import rows
from bpm_faults.settings import read

fast = pytest.importorskip("bpm_faults.fast")


def test_rows():
    assert rows() == [] and columns and read and "tables/limits.csv"
""",
    "README.md": """\
# Faults

Run `python -m bpm_faults.STAGE`, `python -m pytest` or `dvc repro dataset`. The input `turns` is in `data/raw.parquet`,
the [limits](metrics/limits.json), the [rows](data/dataset), the [forms](../../issues), [a page](https://lab.example),
[above](#faults) and the [page of the model](docs/the%20model.md#limits).

| key | is |
|---|---|
| `train.epochs` | how long |

In a notebook, `bpm_faults.told.draw()` draws them.
""",
    "docs/the model.md": "See [the readme](../README.md) and [the folder](../src/bpm_faults).\n",
    "CHANGELOG.md": "- `gone.py` and the [old page](docs/gone.md) are gone; `python -m bpm_faults.gone` too\n",
    "metrics/limits.json": "{}\n",
    "manifest.json": "{}\n",
}


@pytest.fixture(scope="session")
def fitting_once(tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Path:
    return made_once(shared_folder(tmp_path_factory) / "fitting", lambda folder: _make(folder, contract_text))


def _make(folder: Path, contract_text: str) -> None:
    root = folder / "project"
    text = re.sub("  review: .*\n", "", contract_text)
    for name, content in {**FILES, "contract.yaml": text}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("")
    committed(root)("switch", "--quiet", "--create", "change")


@pytest.fixture
def fitting(fitting_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the project, on a branch of its own whose base is `main`."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    shutil.copytree(fitting_once / "project", tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", base="main")
