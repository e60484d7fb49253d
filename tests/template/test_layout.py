"""What every project shares, and what belongs to its worked example: told apart, and each says what it is."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from beampermit.contract import parse_contract
from beampermit.errors import BadInput
from beampermit.generation import generate
from beampermit.generation.answers import complete
from beampermit.generation.template import questions
from beampermit.interlocks.operations import OPS002
from beampermit.interlocks.runner import check
from beampermit.processes import run
from beampermit.project import Project
from beampermit.template import template_folder
from beampermit.trials.settings import read_settings
from support.filled_projects import project_to_read

BASE = template_folder() / "{{cookiecutter.project_slug}}"
OVERLAYS = BASE / "_examples"
PIPELINE = BASE / "src/{{cookiecutter.package_name}}/pipeline"
EXAMPLES = [name for name in questions()["example"] if (OVERLAYS / name).is_dir()]
IMPORTED = OVERLAYS / "lume"
"""Somebody's own model, which is not an example."""
FILLED = ("table", "lume")
"""Examples that `beampermit new` fills in, with a contract first of all."""
SHARED = {"table": "_scalars", "injector-surrogate": "_scalars"}
"""Example -> the folder that it has in common with others."""
OWN = ("source.py", "features.py", "model.py", "metrics.py")
ABOUT_MONITORS = re.compile(r"\b(bpms?|monitors|beam.position|turn.by.turn|turns|betatron|acquisitions?)\b", re.I)


def shared_files() -> Iterator[Path]:
    yield from (path for path in BASE.rglob("*") if path.is_file() and OVERLAYS not in path.parents)


def test_what_every_project_shares_mentions_no_monitors_of_beam_position() -> None:
    said = [
        f"{path.relative_to(BASE)}:{number}: {line.strip()}"
        for path in shared_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ABOUT_MONITORS.search(line) and not line.startswith("{%- set ")  # what the example brings is a condition
    ]
    assert said == []


def test_what_belongs_to_an_example_says_so_in_its_first_lines() -> None:
    files = [
        path for path in OVERLAYS.rglob("*") if path.suffix in (".py", ".md", ".yaml") and IMPORTED not in path.parents
    ]
    assert len(files) > 10
    first = {path: path.read_text(encoding="utf-8").split("\n\n", 2)[:2] for path in files}
    assert [path for path, lines in first.items() if "example" not in " ".join(lines).lower()] == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_has_the_four_files_and_what_describes_and_tests_it(example: str) -> None:
    names = [*(f"src/{{{{cookiecutter.package_name}}}}/{name}" for name in OWN), "contract.yaml", "params.yaml"]
    for name in (*names, "docs/model.md", "tests/conftest.py"):
        folders = [OVERLAYS / example, OVERLAYS / SHARED.get(example, example)]
        variants = [path for one in folders for path in (one / name, *(one / "_libraries").glob(f"*/{name}"))]
        assert any(path.is_file() for path in variants) or (name == "contract.yaml" and example in FILLED), name


@pytest.mark.slow
def test_what_an_example_tries_are_parameters_that_it_has(contract_text: str) -> None:
    files = sorted(OVERLAYS.rglob("params.yaml"))
    assert len(files) == 8
    for file in files:
        assert read_settings(file.read_text(), parse_contract(contract_text)).space.parameters, file


def test_the_pipeline_holds_nothing_that_differs_from_project_to_project() -> None:
    files = list(PIPELINE.glob("*.py"))
    assert len(files) > 10
    assert [path.name for path in files if re.search(r"{[{%]", path.read_text())] == []
    imports = re.compile(r"^\s*(?:from|import)\s+(?:beampermit|\{\{)", re.M)
    assert [path.name for path in files if imports.search(path.read_text())] == [], "it must run without Beampermit"


@pytest.fixture(scope="module", params=EXAMPLES)
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers = {"example": request.param, "project_slug": "other-name", "environment": "uv"}
    return project_to_read(tmp_path_factory, answers)


def test_a_project_has_the_pipelines_bytes_and_its_example_alone(generated: Path) -> None:
    made = generated / "src/other_name/pipeline"
    assert {path.name: path.read_bytes() for path in made.glob("*.py")} == {
        path.name: path.read_bytes() for path in PIPELINE.glob("*.py")
    }
    assert not list(generated.rglob("_examples")) + list(generated.rglob("_libraries"))
    assert {name for name in OWN if (generated / "src/other_name" / name).is_file()} == set(OWN)


@pytest.mark.slow
def test_an_example_has_the_deployment_files_of_its_contract(generated: Path, request: pytest.FixtureRequest) -> None:
    project = Project(generated)
    verdict = check(project, [OPS002])[0]
    assert verdict.passed, verdict.reason
    made = {name for name in project.git.tracked() if name.startswith("deploy/")}
    filled = request.node.callspec.params["generated"] in FILLED
    assert len(made) == (0 if filled else 9), "they are in the first commit; a person writes PVs of a table first"


@pytest.mark.slow
def test_a_stage_depends_on_every_module_that_it_imports(generated: Path) -> None:
    stages = yaml.safe_load((generated / "dvc.yaml").read_text())["stages"]
    source = generated / "src"
    for name, stage in stages.items():
        used = {path.relative_to(generated).as_posix() for path in imported(source, stage["cmd"].split()[-1])}
        covered = {path for path in used if any(path == dep or path.startswith(f"{dep}/") for dep in stage["deps"])}
        assert used == covered, f"stage {name}"
        if name != "package":
            code = {path for path in stage["deps"] if path.startswith("src/")}
            assert code == used, f"stage {name} runs again for code that it does not use"


def imported(source: Path, module: str) -> set[Path]:
    """The files of the project that a module imports, itself and what these import included."""
    found: set[Path] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        file = source.joinpath(*name.split(".")).with_suffix(".py")
        if file in found or not file.is_file():
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                package = ".".join([*name.split(".")[: -node.level], *([node.module] if node.module else [])])
                pending += [package, *(f"{package}.{alias.name}" for alias in node.names)]
    return found


def test_a_library_that_an_example_is_not_there_for_is_refused() -> None:
    with pytest.raises(BadInput, match="library: bpm-faults is there for torch, not scikit-learn"):
        complete({"library": "scikit-learn"})
    with pytest.raises(BadInput, match="example: 'bpm-fault' is not one of bpm-faults"):
        complete({"example": "bpm-fault"})


@pytest.mark.slow
@pytest.mark.parametrize("filled", FILLED)
def test_an_example_that_is_filled_in_is_refused_by_hand_with_the_command_for_it(filled: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"example: {filled} is made by beampermit new --from-"):
        generate(tmp_path, {"example": filled})
    command = (sys.executable, "-m", "cookiecutter", "--no-input", template_folder(), f"example={filled}")
    refused = run(command, cwd=tmp_path)
    assert refused.code
    assert f"example: {filled} is made by beampermit new --from-" in refused.err
    assert list(tmp_path.iterdir()) == []
