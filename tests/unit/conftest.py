"""Fixtures of the unit tests: a real DVC repository with a folder as its remote, made once and copied for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from beampermit.files import write_json
from beampermit.project import Project
from beampermit.registry.event import Event
from support.dvc_repositories import remake
from support.planted_results import LOCK, METRICS, PLOTS, commit, write
from support.registry_project import Laboratory, found_laboratory, laboratory_in
from support.shared import made_once, shared_folder

PIPELINE = """\
stages:
  raw:
    cmd: python make.py raw
    deps: [make.py]
    params: [rows]
    outs:
      - data/raw.parquet
      - data/raw.json: {cache: false}
      - data/labels.parquet
  dataset:
    cmd: python make.py dataset
    deps: [make.py, data/raw.parquet, data/labels.parquet]
    outs: [data/dataset, {data/dataset.json: {cache: false}}]
"""
REVIEWED = "acquisition,device,plane,faulty,labelled_by,labelled_at,why,confidence"
OPINION = "Ada,2026-02-01T10:00:00Z,seen in the tunnel,0.9"
SPLITS = {"train": 1, "validation": 2, "test": 3}
"""Name of a split -> the number of its only acquisition, its only device and its day."""


@pytest.fixture
def laboratory(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Laboratory:
    """A project with a model; no registry is needed here."""

    def make(folder: Path) -> None:
        (folder / "none.db").touch()
        found_laboratory(folder, contract_text, folder / "none.db").change(1)

    made = made_once(shared_folder(tmp_path_factory) / "laboratory-without-a-registry", make)
    return laboratory_in(made).copied(tmp_path)


@pytest.fixture(scope="session")
def results_repository(contract_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of `results`, to be copied."""
    root = shutil.copytree(contract_repository, tmp_path_factory.mktemp("results") / "project")
    write(Project(root), "metrics/metrics.json", METRICS)
    write(Project(root), "metrics/plots.json", PLOTS)
    (root / "params.yaml").write_text("train: {epochs: 20, learning_rate: 0.001}\n")
    (root / "dvc.lock").write_text(LOCK % "aaaa")
    commit(partial(_git, root), "Results")
    return root


@pytest.fixture(scope="session")
def branch_repository(results_repository: Path, contract_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of `branch`, to be copied."""
    root = shutil.copytree(results_repository, tmp_path_factory.mktemp("branch") / "project")
    _git(root, "checkout", "--quiet", "-b", "better")
    write(Project(root), "metrics/metrics.json", METRICS | {"auc": 0.9845, "false_alarm_rate": 0.035})
    (root / "params.yaml").write_text("train: {epochs: 40, learning_rate: 0.001}\n")
    (root / "dvc.lock").write_text(LOCK % "cccc")
    text = contract_text.replace("gate: 0.95", "gate: 0.9").replace("Ada Operator", "Ada Physicist")
    (root / "contract.yaml").write_text(text)
    workflow = root / ".github/workflows/pull-request.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("name: x\n")
    commit(partial(_git, root), "Better")
    return root


@pytest.fixture
def results(project: Project, results_repository: Path) -> Project:
    """The project with metrics, plots, parameters and a `dvc.lock`, all committed on `main`."""
    return _instead(project, results_repository)


@pytest.fixture
def branch(results: Project, branch_repository: Path) -> Project:
    """A pull request: a better model from other data and parameters, a lower gate, a changed workflow."""
    return Project(_instead(results, branch_repository).root, "main")


def _instead(project: Project, repository: Path) -> Project:
    shutil.rmtree(project.root)
    shutil.copytree(repository, project.root)
    return project


@pytest.fixture(scope="session")
def dvc_template(tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Path:
    """A folder with `project` (two stages that ran, committed) and `storage` (its remote, with everything pushed)."""
    return made_once(shared_folder(tmp_path_factory) / "dvc", lambda folder: _make_template(folder, contract_text))


def _make_template(folder: Path, contract_text: str) -> None:
    root = folder / "project"
    (root / "data/dataset").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        _git(root, "init", "--quiet", "--template=", "--initial-branch", "main")
        for name in ("info", "hooks"):  # as git's own template has them, without its samples
            (root / ".git" / name).mkdir()
        (root / "contract.yaml").write_text(contract_text.replace("shape: [250]", "shape: [4]"))
        (root / "dvc.yaml").write_text(PIPELINE)
        (root / "params.yaml").write_text("rows: 8\n")
        (root / "make.py").write_text("print('made')\n")
        (root / "data/raw.json").write_text("{}\n")
        (root / "labels").mkdir()
        (root / "labels/reviewed.csv").write_text(f"{REVIEWED}\na01-3,BPM.1,X,true,{OPINION}\n")
        _write_tables(root)
        record(root)
        (folder / "storage").mkdir()
        from dvc.repo import Repo

        repository = Repo.init(str(root))
        (root / ".dvc/config").write_text(
            "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n"
        )
        repository.close()
        remake(root)
        _git(root, "add", "--all")
        _git(root, "commit", "--quiet", "--message", "The data")
        _git(root, "repack", "-a", "-d", "--quiet")  # copied as one file


@pytest.fixture
def dvc_project(dvc_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the template, on a branch `change` of its own: the base revision is `main`."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    for name in ("project", "storage"):
        shutil.copytree(dvc_template / name, tmp_path / name, symlinks=True)
    root = tmp_path / "project"
    # As `git switch --create` does.
    shutil.copyfile(root / ".git/refs/heads/main", root / ".git/refs/heads/change")
    (root / ".git/HEAD").write_text("ref: refs/heads/change\n")
    return Project(root, base="main")


@pytest.fixture
def storage(dvc_project: Project) -> Path:
    """The folder that is the remote."""
    return dvc_project.root.parent / "storage"


@pytest.fixture
def alter(dvc_project: Project) -> Callable[[str, str], None]:
    """Write a split's table anew: `alter("train", "* EXCLUDE (turns)")`."""

    def run(split: str, columns: str, rest: str = "", options: str = "") -> None:
        import duckdb

        file = dvc_project.root / f"data/dataset/{split}.parquet"
        new = file.with_suffix(".new")
        rows = f"SELECT {columns} FROM read_parquet('{file}') {rest.format(file=file)}"
        duckdb.sql(f"COPY ({rows}) TO '{new}' (FORMAT parquet {options})")
        file.unlink()
        new.rename(file)

    return run


def _write_tables(root: Path) -> None:
    import duckdb

    connection = duckdb.connect()
    rows = [
        (
            f"a{number:02}",
            f"BPM.{number}",
            plane,
            f"2026-01-{number:02} 0{turn}:00:00+00",
            [0.5, -1.0, 2.0, turn],
            turn > 1,
        )
        for number in SPLITS.values()
        for plane in "XY"
        for turn in range(4)
    ]
    connection.execute(
        "CREATE TABLE signals (acquisition VARCHAR, device VARCHAR, plane VARCHAR, acquired_at TIMESTAMPTZ,"
        " turns FLOAT[], faulty BOOLEAN)"
    )
    connection.executemany(
        "INSERT INTO signals VALUES (?, ?, ?, ?, ?, ?)",
        [
            (f"{acquisition}-{time[12]}", *others, time, turns, faulty)
            for acquisition, *others, time, turns, faulty in rows
        ],
    )
    connection.execute(f"COPY signals TO '{root}/data/raw.parquet' (FORMAT parquet)")
    said = "CASE WHEN acquisition = 'a01-3' AND plane = 'X' THEN {} ELSE {} END AS {}"
    columns = (
        said.format("'Ada'", "'rule'", "labelled_by"),
        said.format("TIMESTAMPTZ '2026-02-01 10:00:00Z'", "acquired_at", "labelled_at"),
        said.format("'seen in the tunnel'", "'the orbit rises'", "why"),
        said.format("'expert'", "'rule'", "source"),
        said.format("'false'", "''", "overruled"),
        "0.9::DOUBLE AS confidence",
    )
    labels = f"SELECT acquisition, device, plane, faulty, {', '.join(columns)} FROM signals"
    connection.execute(f"COPY ({labels}) TO '{root}/data/labels.parquet' (FORMAT parquet)")
    for split, number in SPLITS.items():
        rows = f"FROM signals WHERE device = 'BPM.{number}'"
        connection.execute(f"COPY ({rows}) TO '{root}/data/dataset/{split}.parquet' (FORMAT parquet)")


def record(root: Path) -> None:
    """Write `data/dataset.json` for what lies in the work tree."""
    from beampermit.digest import digest_file

    splits = {name: f"data/dataset/{name}.parquet" for name in SPLITS}
    write_json(
        root / "data/dataset.json",
        {
            "parents": {path: digest_file(root / path) for path in ("data/raw.parquet", "data/labels.parquet")},
            "code": {"make.py": digest_file(root / "make.py")},
            "parameters": {"rows": 8},
            "split": {"by": ["acquisition", "device"], "time": "acquired_at"},
            "splits": {
                name: {"path": path, "sha256": digest_file(root / path), "rows": 8} for name, path in splits.items()
            },
        },
    )


def _git(root: Path, *arguments: str) -> Any:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, env={**os.environ})


@pytest.fixture
def event() -> Callable[..., Event]:
    """Make an event, by default a first promotion."""

    def make(**changes: Any) -> Event:
        defaults: dict[str, Any] = {
            "event": "promote",
            "sequence": 1,
            "model": "bpm-faults",
            "version": 1,
            "digest": f"sha256:{'a' * 64}",
            "permit": f"sha256:{'b' * 64}",
            "commit": "1" * 40,
            "expected": None,
            "at": "2026-11-23T08:00:00Z",
            "by": "Ada Operator <ada@lab.example>",
        }
        return Event(**{**defaults, **changes})

    return make
