"""A repository as people have it: torch, DVC, a pipeline, a workflow of its own, nothing of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FILES = {
    "src/orbit/__init__.py": "",
    "src/orbit/train.py": "import torch\n\nmodel = torch.nn.Linear(4, 1)\n",
    "params.yaml": "train:\n  epochs: 3\n  seed: 7\n",
    "metrics.json": '{"r2": 0.93, "rmse": 0.04, "epochs": 3, "note": "x"}\n',
    ".github/workflows/pull-request.yml": (
        "name: Ours\non: pull_request\njobs:\n  lint:\n    runs-on: ubuntu-latest\n    steps: [{run: ruff check}]\n"
    ),
    "README.md": "# Orbit\n",
    "pyproject.toml": (
        '[project]\nname = "Orbit_Predictor"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = []\n'
    ),
    "dvc.yaml": """\
stages:
  prepare:
    cmd: mkdir -p data && echo 1 > data/train.csv
    outs: [data/train.csv]
  train:
    cmd:
      - echo 1 > model.bin
      - printf '%s' '{"r2":0.94,"rmse":0.03}' > metrics.json
    deps: [src/orbit/train.py, data/train.csv]
    params: [train.epochs]
    outs: [model.bin]
    metrics:
      - metrics.json: {cache: false}
""",
}


def make(root: Path) -> Path:
    """Write the repository, on `main`, and commit it as two people."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "--quiet", "--initial-branch", "main")
    dvc(root, "init", "--quiet")
    (root.parent / "remote").mkdir()
    dvc(root, "remote", "add", "--quiet", "--default", "local", str(root.parent / "remote"))
    for name, address in (("Ada Operator", "ada@lab.example"), ("Bo Physicist", "bo@lab.example")):
        (root / "README.md").write_text(f"# Orbit\n\nBy {name}\n")
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--author", f"{name} <{address}>", "--message", name)
    return root


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, capture_output=True)
