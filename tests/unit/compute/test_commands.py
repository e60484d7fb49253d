"""Commands whose units run on a real SLURM or Dask: their parts fit together, and no secret of ours goes there."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.compute import dask
from beampermit.monitoring.backtest import days, measuring
from beampermit.project import Project
from support.dask_cluster import APART, Cluster, dask_cluster
from support.dvc_repositories import remake, replace
from support.recorded_project import recorded
from support.searched_project import searched, searched_once
from support.slurm import Slurm, slurm, slurm_session
from support.toy_project import HERE, trainable, trained_once

__all__ = ["recorded", "searched", "searched_once", "slurm", "slurm_session", "trainable", "trained_once"]
pytestmark = pytest.mark.slow

BARE = APART + "from beampermit.compute import worker\nworker.stamp_of = lambda prefix: ''\n"
"""A worker that sees neither our folders nor our environment."""
SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": "s3cret-of-mlflow",
    "BEAMPERMIT_SIGNING_KEY": "s3cret-of-signing",
    "BEAMPERMIT_STORAGE": "postgresql://ada:s3cret-of-storage@db.lab.example/trials",
}
SECRET = re.compile(rb"s3cret-of-\w+|timeout=77")
TELLS = """\
request = json.loads(Path("request.json").read_text())
number, seen = os.getpid(), []
while number > 1 and b"slurmstepd" not in Path(f"/proc/{number}/cmdline").read_bytes():
    seen += Path(f"/proc/{number}/environ").read_text(errors="replace").split("\\0")
    number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
Path("seen.json").write_text(json.dumps({"own": dict(os.environ), "seen": seen}))
"""
FOLD = """\
import json, os
from pathlib import Path

request = json.loads(Path("request.json").read_text())
assert request["scores"]
Path("scores.parquet").write_bytes(bytes.fromhex("SCORES"))
Path("result.part").write_text(json.dumps({"parameters": request["parameters"], "curve": [[1, 0.5, 0.5]]}))
os.replace("result.part", "result.json")
"""


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With one worker that sees nothing of ours."""
    with dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.worker(threads=2, preload=BARE)
        yield cluster


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "LOOK", 0.1)


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A command with secrets in its variables: what it printed. None of them is in the folder of work."""

    def run(*words: str | Path) -> str:
        with monkeypatch.context() as patch:
            for name, value in SECRETS.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(app, [*map(str, words), "--work", str(tmp_path / "work")])
        assert done.exit_code == 0, done.output or done.exception
        assert not SECRET.search(done.output.encode())
        assert not secret_files(tmp_path / "work")
        return done.stdout

    return run


def secret_files(folder: Path) -> list[Path]:
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    assert files
    return [file for file in files if SECRET.search(file.read_bytes())]


def test_trials_on_slurm_know_of_us_what_the_contract_lets_through(
    slurm: Slurm, searched: Project, ran: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(searched.root / "src/toy/trial.py", 'request = json.loads(Path("request.json").read_text())\n', TELLS)
    replace(searched.root / "contract.yaml", "  backend: uv\n", "  backend: uv\n  variables: [LICENSE_OF_LAB]\n")
    monkeypatch.setenv("LICENSE_OF_LAB", "27000@lab.example")
    monkeypatch.setenv("OTHER_OF_LAB", "not for trials")
    storage = f"sqlite:///{tmp_path}/studies.db?timeout=77"
    words = ["trials", "run", "--on", "slurm", "--storage", storage, "--no-mlflow", "--project", searched.root]
    said = ran(*words, "--trials", "3", "--at-once", "2")
    assert ": 3 complete; it is new\n" in said
    files = list((tmp_path / "work").glob("units/*/seen.json"))
    assert len(files) == 3
    for file in files:
        told = json.loads(file.read_text())
        assert told["own"]["LICENSE_OF_LAB"] == "27000@lab.example"
        assert len(told["seen"]) > 50, "of the processes above it, too"
        assert "OTHER_OF_LAB=not for trials" not in told["seen"]
    assert not secret_files(slurm.folder)


def test_trials_on_dask_bring_their_environment_and_are_pruned_there(
    apart: Cluster, searched: Project, ran: Callable[..., str], tmp_path: Path
) -> None:
    replace(searched.root / "params.yaml", "does: nothing", "does: way")
    replace(searched.root / "params.yaml", "sampler: random", "sampler: random\n  pruner: {kind: median, startup: 2}")
    words = ["trials", "run", "--on", apart.address, "--storage", f"sqlite:///{tmp_path}/studies.db?timeout=77"]
    said = ran(*words, "--no-mlflow", "--trials", "8", "--project", searched.root)
    counts = re.search(r": (\d) complete, (\d) pruned; it is new\n", said)
    assert counts
    assert int(counts[1]) + int(counts[2]) == 8
    assert list(apart.folder.glob("cache of worker-1/environments/*/.beampermit-lock"))
    assert not secret_files(apart.folder)


def test_folds_on_dask_are_measured_by_the_answers_that_come_back(
    apart: Cluster, searched: Project, ran: Callable[..., str]
) -> None:
    rows = 120
    number = np.arange(rows)
    table = pa.table(
        {
            "acquisition": number // 10,
            "device": [f"B{one % 10}" for one in number],
            "plane": ["x"] * rows,
            "faulty": number % 3 == 0,
            "turns": [[float(one), 0.0] for one in number],
            "acquired_at": pa.array(number * 1_000_000, pa.timestamp("us", "UTC")),
        }
    )
    for name, part in {"train": table.slice(0, 80), "validation": table.slice(80)}.items():
        file = searched.root / f"data/dataset/{name}.parquet"
        file.unlink()
        pq.write_table(part, file)
    scores = io.BytesIO()
    pq.write_table(pa.table({"score": np.linspace(0, 1, 40)}), scores)
    (searched.root / "src/toy/trial.py").write_text(FOLD.replace("SCORES", scores.getvalue().hex()))
    contract = searched.root / "contract.yaml"
    replace(contract, "split: {by: [acquisition, device], time: acquired_at}", "split: {by: [acquisition]}")
    replace(contract, "{name: auc, better: higher,", "{name: auc, measure: roc_auc,")
    replace(contract, "tolerance: 1.0e-4,", "tolerance: 1.0e-4, target: faulty,")
    remake(searched.root)
    said = ran("validate", "--folds", "3", "--on", apart.address, "--json", "--project", searched.root)
    folds = json.loads(said)["folds"]
    assert [fold["held_out"] for fold in folds] == [40] * 3
    assert all(0.3 < fold["metrics"]["auc"] < 0.7 for fold in folds)


def test_a_backtest_on_dask_says_what_one_here_says(
    apart: Cluster, project: Project, recorded: Callable[..., Path], ran: Callable[..., str]
) -> None:
    words = ["backtest", recorded(26, apart=300.0), "--no-shifts", "--json", "--project", project.root]
    there = ran(*words, "--on", apart.address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(days, "measure_by_days", lambda *given, progress, **_: measuring.measure(*given))
        assert ran(*words) == there
    assert json.loads(there)["windows"] > 100


def test_seeds_on_dask_are_trained_apart_and_come_back(
    apart: Cluster, trainable: Project, ran: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.reproduction.environments.new_environments", lambda *_: lambda _: HERE)
    words = ["reproduce", "--seeds", "1", "--out", tmp_path / "out", "--project", trainable.root]
    said = ran(*words, "--on", apart.address)
    assert "trained again with seed 0: identical" in said
    assert len(list((tmp_path / "out").glob("seed-*/model/weights.safetensors"))) == 2
    assert list((tmp_path / "work/dask").glob("*.tar")), "they travelled"
    assert not list((tmp_path / "work/trees").iterdir())
