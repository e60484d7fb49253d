"""A project whose trials take an instant: a curve with a known lowest point, and what a trial may do wrong.

`train.does` in params.yaml says what a trial does besides its work, which for `nothing` is all. With `meet FOLDER` it
leaves a file there, fails where that is there, and waits until another trial has left one too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from beampermit.compute.resources import Resources
from beampermit.project import Project
from support.dvc_repositories import remake, replace
from support.shared import made_once, shared_folder

TRIAL = """\
import json, os, sys, time
from pathlib import Path

from toy import curve

request = json.loads(Path("request.json").read_text())
train = request["params"]["train"]
x, does = train["x"], train["does"]
rows = Path("data/dataset/train.parquet").read_text().split()
losses = curve.losses(x, train["depth"], len(rows))
time.sleep({"slow": 0.4, "short": 0.05, "long": 1.0}.get(does, 0))
if does == "wait":
    time.sleep(60)
if does.startswith("meet "):
    place, last = Path(does.removeprefix("meet ")), time.monotonic() + 120
    (place / Path.cwd().name).touch(exist_ok=False)
    while len(list(place.iterdir())) < 2:
        assert time.monotonic() < last, "no other trial began meanwhile"
        time.sleep(0.02)
if does == "fail" or (does == "fail below" and x < 2):
    sys.exit("the beam was lost at x = %.3f" % x)
if does == "test":
    Path("data/dataset/test.parquet").read_bytes()
if does == "way":
    for step, loss in enumerate(losses, 1):
        with open("intermediate.jsonl", "a") as stream:
            stream.write(json.dumps({"step": step, "value": loss}) + "\\n")
    time.sleep(2 if losses[0] > 30 else 0)
result = {"parameters": request["parameters"], "curve": [[n, l, l] for n, l in enumerate(losses, 1)]}
result["metrics"] = {"auc": 1 - losses[-1] / 100, "false_alarm_rate": abs(x) / 100}
if does == "other":
    result["parameters"] = {"train.x": 99.0}
if does == "no metric":
    result["metrics"] = {}
if does == "words":
    result["curve"] = [[1, "low", "lower"]]
text = json.dumps(result)
if does == "nan":
    text = text.replace(json.dumps(losses[-1]), "NaN")
if does == "no json":
    text = text[:-9]
if does != "no result":
    Path("result.part").write_text(text)
    os.replace("result.part", "result.json")
"""
CURVE = """\
def losses(x, depth, rows):
    return [((x - 3) ** 2 + (depth - 4) ** 2) * (1 + 1 / epoch) + 0 * rows for epoch in range(1, 9)]
"""
PARAMS = """\
split: {seed: 1}
train:
  seed: 0
  x: 1.0
  depth: 2
  kind: wide
  drop: 0.1
  inputs: [turns]
  does: nothing
trials:
  module: toy.trial
  space:
    train.x: {float: [-5.0, 5.0]}
    train.depth: {int: [1, 8]}
  sampler: random
"""
PIPELINE = """\
stages:
  dataset: {cmd: python dataset.py, deps: [dataset.py], params: [split], outs: [data/dataset]}
  train:
    cmd: python -m toy.train
    deps: [src/toy/curve.py, data/dataset]
    params: [train]
    outs: [model]
"""
LOCK = (
    'version = 1\nrequires-python = ">=3.11"\n\n[[package]]\nname = "toy"\nsource = { virtual = "." }\nversion = "1"\n'
)
PYPROJECT = '[project]\nname = "toy"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = []\n'
RUNS_TRIALS = ("beampermit.cli.main", "beampermit.trials.session", "optuna")
"""What takes `beampermit trials run` long to import."""
CONFIG = "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n"


@pytest.fixture(scope="session")
def searched_once(tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Path:
    return made_once(shared_folder(tmp_path_factory) / "searched", lambda folder: _make(folder, contract_text))


def _make(folder: Path, contract: str) -> None:
    root = folder / "project"
    files = {
        "contract.yaml": contract,
        "params.yaml": PARAMS,
        "dvc.yaml": PIPELINE,
        "dataset.py": "# made by hand\n",
        "pyproject.toml": PYPROJECT,
        "uv.lock": LOCK,
        "src/toy/__init__.py": "",
        "src/toy/trial.py": TRIAL,
        "src/toy/curve.py": CURVE,
        "model/weights.json": "{}",
        "metrics/metrics.json": '{"auc": 0.9, "false_alarm_rate": 0.01}',
        **{f"data/dataset/{name}.parquet": "1\n2\n3\n" for name in ("train", "validation")},
        "data/dataset/test.parquet": "7\n8\n9\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        git = Project(root).git
        git("init", "--quiet", "--initial-branch", "main")
        from dvc.repo import Repo

        (folder / "storage").mkdir()
        Repo.init(str(root)).close()
        (root / ".dvc/config").write_text(CONFIG)
        (root / ".gitignore").write_text("/data/dataset\n/model\n")
        remake(root)
        git("add", "--all")
        git("commit", "--quiet", "--message", "The first model")


@pytest.fixture
def searched(searched_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy for one test; its environment and its units are in the cache folder of all tests of this kind."""
    return copied(searched_once, tmp_path, monkeypatch)


def copied(searched_once: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The fixture `searched`, in `folder`."""
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(searched_once / "cache"))
    monkeypatch.setenv("BEAMPERMIT_COMPUTE", str(folder / "compute.yaml"))
    monkeypatch.delenv("BEAMPERMIT_ENVIRONMENT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (folder / "compute.yaml").write_text("")
    for name in ("project", "storage"):
        shutil.copytree(searched_once / name, folder / name, symlinks=True)
    return Project(folder / "project")


def let_trials_meet(project: Project, folder: Path) -> Path:
    """Let the trials wait for one another, so that of runs with one at once each has to do some; the folder in which
    each trial leaves a file."""
    place = folder / "meet"
    place.mkdir()
    replace(project.root / "params.yaml", "does: nothing", f"does: meet {place}")
    return place


def resources(tmp_path: Path) -> Resources:
    """Units of this test's own, two at once."""
    return Resources(work=str(tmp_path / "work"), at_once=2)
