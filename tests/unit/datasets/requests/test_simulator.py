"""A request without signals is answered by the project's own function, and its table is compared like any other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from beampermit.datasets.requests.request import RequestResult, request
from beampermit.errors import BadInput, Failed
from beampermit.processes import run
from beampermit.project import Project
from support.data_requests import rows

FUNCTION = """\
import duckdb, pathlib
pathlib.Path("data").mkdir(exist_ok=True)
seed = int(pathlib.Path("seed").read_text())
duckdb.sql(f"COPY (SELECT TIMESTAMPTZ '2026-01-01 00:00:00Z' AS acquired_at, 'a' AS acquisition, 'B' AS device,"
           f" 'X' AS plane, {seed} AS turns) TO 'data/raw.parquet'")
"""


@pytest.fixture
def own(project: Project) -> Project:
    """A project with a function of its own."""
    (project.root / "src/own").mkdir(parents=True)
    (project.root / "src/own/__init__.py").touch()
    (project.root / "src/own/request.py").write_text(FUNCTION)
    (project.root / "seed").write_text("1")
    return project


def ask(project: Project, **options: Any) -> RequestResult:
    def work(arguments: Any, folder: Path) -> Any:
        return run([sys.executable, *arguments], cwd=folder, env={"PYTHONPATH": str(folder / "src")})

    return request(project, work, **options)


@pytest.mark.slow
def test_the_table_is_written_with_a_sidecar(own: Project) -> None:
    assert ask(own).sidecar["rows"] == 1
    assert rows(own.root, "turns") == [(1,)]
    said = json.loads((own.root / "data/raw.json").read_text())
    assert said["source"] == "simulator, by the project's own function"
    assert said["first"] == "2026-01-01T00:00:00.000000Z"
    assert ask(own).summary == "the same bytes as before"


@pytest.mark.slow
def test_a_different_answer_must_be_accepted(own: Project) -> None:
    ask(own)
    (own.root / "seed").write_text("2")
    with pytest.raises(
        Failed, match=r"turns changed in 1 row \(first: acquisition a, device B, plane X: 1 before, 2 now\)"
    ):
        ask(own)
    assert rows(own.root, "turns") == [(1,)]
    ask(own, accept=True)
    assert rows(own.root, "turns") == [(2,)]


@pytest.mark.slow
def test_a_sidecar_of_the_function_is_kept_if_its_sha256_is_right(own: Project) -> None:
    line = "import hashlib, json; raw = pathlib.Path('data/raw.parquet').read_bytes()\n"
    line += "pathlib.Path('data/raw.json').write_text(json.dumps({'sha256': hashlib.sha256(raw).hexdigest()}))\n"
    (own.root / "src/own/request.py").write_text(FUNCTION + line)
    ask(own)
    assert list(json.loads((own.root / "data/raw.json").read_text())) == ["sha256"]
    (own.root / "src/own/request.py").write_text(FUNCTION + line.replace("(raw)", "(raw + b'.')"))
    with pytest.raises(Failed, match="does not have the sha256"):
        ask(own)


@pytest.mark.slow
def test_a_function_that_fails_changes_nothing(own: Project) -> None:
    (own.root / "src/own/request.py").write_text("raise SystemExit('no beam today')\n")
    with pytest.raises(Failed, match=r"python -m own\.request failed: no beam today"):
        ask(own)
    (own.root / "src/own/request.py").write_text("")
    with pytest.raises(Failed, match=r"python -m own\.request did not write data/raw\.parquet"):
        ask(own)
    assert not (own.root / "data").exists()


def test_a_missing_function_is_bad_input(project: Project) -> None:
    with pytest.raises(BadInput, match=r"runs src/<package>/pipeline/request\.py .* there is none"):
        ask(project)


@pytest.mark.slow
def test_a_generated_project_reproduces_its_committed_table(trained_copy: Project) -> None:
    from beampermit.environments.environment import environment_of

    def work(arguments: Any, folder: Path) -> Any:
        return environment_of(trained_copy.root).run(arguments, project=folder)

    delivered = request(trained_copy, work)
    assert (delivered.first, delivered.changes) == (False, ())
    assert trained_copy.git("status", "--porcelain") == ""
