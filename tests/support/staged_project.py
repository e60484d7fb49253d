"""The toy project in stages of their own: fetched, divided, trained, evaluated, packaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from beampermit.project import Project
from support.dvc_repositories import remake
from support.shared import made_once, shared_folder
from support.toy_project import HERE, TRAIN

FETCH = """\
import os
from pathlib import Path

Path("data").mkdir(exist_ok=True)
Path("data/raw.parquet").write_text("\\n".join(str(byte) for byte in os.urandom(60)))
"""
DIVIDE = """\
import json
from pathlib import Path

import duckdb

rows = Path("data/raw.parquet").read_text().split()
folder = Path("data/dataset")
folder.mkdir(parents=True, exist_ok=True)
for name, part in (("train", rows[:20]), ("validation", rows[20:30])):
    (folder / f"{name}.parquet").write_text("\\n".join(part))
duckdb.sql(f"COPY (SELECT unnest({list(map(int, rows[30:]))}) AS turns) TO '{folder}/test.parquet' (FORMAT parquet)")
Path("data/dataset.json").write_text(json.dumps({"rows": len(rows)}))
"""
EVALUATE = """\
import datetime, json, random
from pathlib import Path

import duckdb
from safetensors.numpy import load_file

weight = float(load_file("trained/weights.safetensors")["weight"][0])
rows = len(duckdb.read_parquet("data/dataset/test.parquet"))
auc = 0.97 + 0.001 * weight
Path("metrics/metrics.json").write_text(json.dumps({"auc": auc, "false_alarm_rate": 0.0, "rows": rows}))
Path("metrics/plots.json").write_text(json.dumps({"roc": [[0, 0], [0.25, auc], [1, 1]]}))
now = datetime.datetime.now().isoformat()
Path("metrics/evaluation.md").write_text(f"Evaluated {now}\\n\\n{rows} rows, AUC {auc:.4f}\\n")
Path("metrics/roc.svg").write_text(f"<svg id='{random.random()}'/>\\n<path d='{auc}'/>\\n")
Path("metrics/limits.json").write_text(json.dumps({"limit": 1.5 * weight}))
"""
PACKAGE = """\
import hashlib, json, shutil
from pathlib import Path

Path("model").mkdir(exist_ok=True)
shutil.copy("trained/weights.safetensors", "model/weights.safetensors")
files = [Path("model/weights.safetensors"), *sorted(Path("data/dataset").iterdir())]
digests = {str(file): "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
Path("manifest.json").write_text(json.dumps({"algorithm": "sha256", "files": digests}))
"""
PIPELINE = """\
stages:
  fetch: {cmd: python fetch.py, deps: [fetch.py], outs: [data/raw.parquet]}
  divide:
    cmd: python divide.py
    deps: [divide.py, data/raw.parquet]
    outs: [data/dataset, {data/dataset.json: {cache: false}}]
  train:
    cmd: python train.py
    deps: [train.py, data/dataset]
    params: [train]
    outs: [trained, metrics/training.json: {cache: false}]
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, data/dataset, trained]
    outs:
    - metrics/plots.json: {cache: false}
    - metrics/evaluation.md: {cache: false}
    - metrics/roc.svg: {cache: false}
    - metrics/limits.json: {cache: false}
    metrics: [metrics/metrics.json: {cache: false}]
  package:
    cmd: python package.py
    deps: [package.py, data/dataset, trained]
    outs: [model, manifest.json: {cache: false}]
"""
SCRIPTS = ("fetch.py", "divide.py", "train.py", "evaluate.py", "package.py")


def _train() -> str:
    code = TRAIN.replace('("model", "metrics")', '("trained", "metrics")').replace('"model/weights', '"trained/weights')
    kept = [line for line in code.splitlines() if not line.startswith(("loss =", "files =", "digests ="))]
    return "\n".join(line for line in kept if "metrics.json" not in line and "manifest.json" not in line) + "\n"


@pytest.fixture(scope="session")
def staged_once(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(shared_folder(tmp_path_factory) / "staged", lambda folder: _stage(folder, trained_once))


def _stage(folder: Path, trained_once: Path) -> None:
    shutil.copytree(trained_once, folder, symlinks=True, dirs_exist_ok=True)
    root = folder / "project"
    for path in ("model", "data", "metrics"):
        shutil.rmtree(root / path)
    for path in ("manifest.json", "dvc.lock", "dataset.py"):
        (root / path).unlink()
    texts = (FETCH, DIVIDE, _train(), EVALUATE, PACKAGE)
    for name, text in zip((*SCRIPTS, "dvc.yaml"), (*texts, PIPELINE), strict=True):
        (root / name).write_text(text)
    made_by_hand(root, *SCRIPTS)


def made_by_hand(root: Path, *scripts: str) -> None:
    """Run scripts, lock and push what they made, and commit all of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(root.parent / "site"))
        for script in scripts:
            finished = HERE.run([script], project=root)
            assert finished.code == 0, finished.err
        remake(root)
    git = Project(root).git
    git("add", "--all")
    git("commit", "--quiet", "--message", "In stages")


@pytest.fixture
def staged(staged_once: Path, trainable: Project) -> Project:
    """A copy of it for one test, in place of the toy project."""
    root = trainable.root
    for name in ("project", "storage"):
        shutil.rmtree(root.parent / name)
        shutil.copytree(staged_once / name, root.parent / name, symlinks=True)
    return Project(root)
