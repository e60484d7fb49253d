"""`beampermit new --from-table`, from the command to a project of which every interlock passes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from beampermit.contract import load_contract
from beampermit.digest import digest_file
from beampermit.environments.choice import backend_of
from beampermit.environments.environment import VARIABLE
from beampermit.environments.installation import install
from beampermit.generation import generate
from beampermit.generation.from_table.project import TABLE, prepare, slug_of
from beampermit.generation.from_table.roles import Asked
from beampermit.progress import silent
from beampermit.project import Project
from support.csv_tables import numbers, write_csv
from support.csx_table import write_what_only_a_person_knows
from support.forked_commands import beampermit
from support.lent_bytecode import lend
from support.paths import CSX
from support.permits import permitted
from support.trained_project import PEOPLE, commit_model, push, run_stages

pytestmark = pytest.mark.slow
LINES, FILES = 60, 4
"""What somebody may have to change, until all interlocks pass."""
ONLY_GITHUB = {"GIT001", "GIT002"}
"""Interlocks that only GitHub answers."""


def new(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return beampermit("new", "--no-input", "--no-lock", *words, cwd=Path.cwd(), needs=("duckdb",))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two numbers, of which one has a name that no contract takes, and one that is constant."""
    file = tmp_path_factory.mktemp("table") / "My Scan (2).csv"
    return write_csv(file, ["X pos [mm]", "y", "on", "late"], numbers(1), numbers(2), [1] * 40, numbers(3))


def test_the_command_makes_a_committed_project_and_says_what_it_decided(table: Path, tmp_path: Path) -> None:
    before = digest_file(table)
    words = ("--output-dir", tmp_path, "--json", "--answer", "environment=uv")
    done = new("--from-table", table, "--output", "y", "--ignore", "late", *words)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    root = tmp_path / "my-scan-2"
    project = Project(root)
    assert said["project"] == str(root)
    assert said["table"]["renamed"] == {"x-pos": "X pos [mm]"}
    assert {"Left out, because it is constant: 'on'.", "Left out, because --ignore names it: 'late'."} <= set(
        said["table"]["notes"]
    )
    assert said["next"][-4:] == [
        "make reproduce",
        "make push",
        'git add --all && git commit -m "The first model"',
        "make check",
    ]
    assert project.git("status", "--porcelain") == ""
    assert len(project.git("log", "--format=%h").split()) == 1
    assert {f"{TABLE}.dvc", "contract.yaml"} <= set(project.git.tracked())
    assert TABLE not in project.git.tracked()
    assert [signal.unit for signal in load_contract(root).signals.inputs] == ["mm"]
    assert digest_file(table) == before
    push(project)
    assert len([path for path in (tmp_path / "dvc-storage").rglob("*") if path.is_file()]) == 1, "DVC knows the table"
    again = new("--from-table", table, "--output", "y", "--output-dir", tmp_path)
    assert again.returncode == 2
    assert "this folder already exists" in again.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"my-scan-2", "dvc-storage"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from-table", "TABLE"], "no --output says which column of the table the model predicts"),
        (["--ignore", "y"], "--output, --group, --time and --ignore name columns of a table"),
        (["--from-table", "TABLE", "--output", "z"], "--output 'z': the table has no such column"),
        (["--from-table", "TABLE", "--output", "y", "--example", "bpm-faults"], "ways to begin: give one of them"),
        (["--from-table", "TABLE", "--output", "y", "--library", "jax"], "'jax' is not one of torch, xgboost"),
        (["--from-table", "TABLE", "--output", "y", "-a", "accelerator=cuda", "--library", "xgboost"], "for cpu alone"),
    ],
)
def test_wrong_words_are_refused_and_nothing_is_written(
    words: list[str], said: str, table: Path, tmp_path: Path
) -> None:
    done = new(*[str(table) if word == "TABLE" else word for word in words], "--output-dir", tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "slug"),
    [("My Scan (2).csv", "my-scan-2"), ("2026-run.parquet", "table-2026-run"), ("test.csv", "test-model"),
     ("電流.csv", "table"), ("torch.csv.gz", "torch-model")],
)  # fmt: skip
def test_a_project_is_called_after_its_table(name: str, slug: str) -> None:
    assert slug_of(Path(name)) == slug


@pytest.mark.timeout(1200)  # for what hangs: it takes three minutes
@pytest.mark.skipif(not CSX.is_file(), reason="the table of CSX is not on this machine")
def test_a_strangers_table_gets_a_permit_after_a_few_lines(
    environment_prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model is of scikit-learn, served as ONNX."""
    prepared = prepare(CSX, Asked(outputs=("target",), groups=("roi",)), tmp_path)
    answers = {"example": "table", "library": "scikit-learn", "environment": "uv", "summary": "Finds odd regions."}
    answers |= PEOPLE
    root = generate(tmp_path / "new", answers, defaults=prepared.defaults, fill=prepared.fill, lock=True)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "environment"))
    install(backend_of(root), root, tmp_path / "environment", progress=silent)
    project = Project(root)
    write_what_only_a_person_knows(root / "contract.yaml")
    changed = [line.split("\t") for line in project.git("diff", "--numstat").splitlines()]
    assert len(changed) <= FILES
    assert sum(int(added) + int(removed) for added, removed, _ in changed) <= LINES
    contract = root / "contract.yaml"
    assert "seeds: [0, 1, 2]" in contract.read_text()
    contract.write_text(contract.read_text().replace("seeds: [0, 1, 2]", "seeds: [0]"))  # three are the demo's
    lend(environment_prefix, tmp_path / "environment")
    run_stages(project)
    commit_model(project)
    verdicts, permit = permitted(project, without=ONLY_GITHUB)
    assert "artifacts/model.onnx" in permit.predicate.model
    assert verdicts["REP001"].reason.startswith("identical: ")
